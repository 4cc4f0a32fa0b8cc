"""The rules: functions whose first argument is the database; they know nothing of HTTP.

Plain functions are run as one transaction, by `db.run`. The coroutine functions, in `accounts` and `uploads`, mix the
database with slow work: hashing passwords, storing and reading PDFs. What they need for that is their second argument.
"""
