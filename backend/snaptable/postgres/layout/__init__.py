"""How rows lie in a database: names, columns and values, the statements that make tables, what is there, changes."""
