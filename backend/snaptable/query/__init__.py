"""Queries of a table, as users hold them: immutable, lazy, handed to an engine when they are asked for rows."""
