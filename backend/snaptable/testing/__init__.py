"""What proves that a store survives: a simulated disk, and every state a crash may leave on it."""
