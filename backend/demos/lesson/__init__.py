"""The lesson: how a file that a program dumps its data to loses it, lane by lane, beside the same on snaptable."""
