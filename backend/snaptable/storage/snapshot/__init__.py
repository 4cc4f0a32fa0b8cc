"""The snapshot: its format, its pages and checksums, and when it is written."""
