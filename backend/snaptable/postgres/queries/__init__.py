"""A query as SQL, and what is left of it for Python: conditions, orders, plans, kinds of times."""
