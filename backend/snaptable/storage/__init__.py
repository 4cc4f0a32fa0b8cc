"""Storage: where commits become files, and files become commits again; it knows nothing of tables in memory.

`disk` is the seam to the operating system; `journal` and `snapshot` are the two formats; `recovery` reads them,
`group_commit` writes them; `legacy` imports the older format; `migration` leads raw rows
to today's models; `store` puts all of it together.
"""
