"""The engine on PostgreSQL: the same contract as in memory, over typed columns. README.md beside this says how.

Needs the extra `snaptable[postgres]`; nothing here is imported before a database with a `postgresql://` URL is opened.
"""
