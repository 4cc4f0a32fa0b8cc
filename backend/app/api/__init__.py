"""HTTP only: what comes in is checked for its form, handed to a service, and the answer shaped."""
