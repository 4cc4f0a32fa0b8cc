"""How rows and their tables are declared: models, markers of fields, and the schemas made and checked of them."""
