"""Passwords, login limits and e-mail addresses."""
