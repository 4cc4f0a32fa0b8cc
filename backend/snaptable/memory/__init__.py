"""The engine in memory: rows, indexes, planner, transactions. Knows nothing of files: it hands commits to a log."""
