"""What a query says: conditions, orders and aggregates over columns. Engine-neutral: nothing is evaluated here."""
