"""The process that the library runs in: its callers, its command's name, its clock, its terminal and log."""
