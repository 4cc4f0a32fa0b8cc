"""What conditions, orders, aggregates and expressions give, worked out in Python over rows: what every engine answers.

The engine in memory runs on it; the one on PostgreSQL asks it where SQL has no exact answer.
"""
