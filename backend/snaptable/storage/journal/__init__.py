"""The journal: the format of its lines, the segment being written, the reader and the directory of segments."""
