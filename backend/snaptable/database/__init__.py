"""Databases, as users hold them: how their tables are declared, and how they are opened and closed."""
