"""The bytes of uploaded documents: where they are stored, and how many pages they have."""
