"""The chat: conversations whose messages are there, or not at all, whatever happens to the server meanwhile."""
