"""The journal: its format, the segment being written, the reader of segments, the directory of segments."""
