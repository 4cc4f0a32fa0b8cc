"""The reference backend: users, documents, extractions and annotations on `snaptable`, over HTTP.

`main` is the command, `running` what it does, `server` runs uvicorn, `resources` holds what a running backend owns.
A request goes down: `api` (HTTP only) calls `services` (the rules; functions whose first argument is the database),
they work on `library` (the database), whose rows are in `tables`. `files` and `security` are for what is not a row:
bytes and passwords.
"""
