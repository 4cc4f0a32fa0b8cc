"""What the processes on one PostgreSQL database share besides rows, in small tables of the backend's own.

tables           the tables, and how statements on them are carried out
counts           attempts to log in and to register, within their windows
usages           what users store: the sums that quotas are held against
blob_uses        which documents' bytes are being stored, and which only history names
lease            which process does what one alone does: sweeps, removals, clearing away

In memory, a process is alone: what stands in for these tables are dictionaries of the parts that need them. The tables
lie in the database's own schema, and snaptable doesn't know of them: they are in no history, feed, move or snapshot.
"""
