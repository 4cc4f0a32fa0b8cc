"""What a value may be, and its JSON: types, strict parsing, the lines of rows."""
