"""Where commits become files: lock, journal, snapshot, recovery, committer. Knows nothing of tables in memory.

`files` is the only module that touches the operating system; `names` and `README.md` describe what lies on disk.
"""
