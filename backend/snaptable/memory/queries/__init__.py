"""How a query is answered in memory: plans, access paths, filters, sorting."""
