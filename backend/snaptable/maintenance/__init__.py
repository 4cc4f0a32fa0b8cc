"""Offline tools for an admin: check, repair, accept. Only the command uses them; storage knows nothing of them."""
