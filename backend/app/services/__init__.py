"""The rules, as plain functions whose first argument is the database; they know nothing of HTTP."""
