"""The snapshot: its format, the pages it is made of, and when it is written."""
