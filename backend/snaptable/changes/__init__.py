"""Commits: what they changed, who made them, how much of the past is kept. Engine-neutral."""
