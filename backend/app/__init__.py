"""The reference backend: users, documents, extractions and annotations on `snaptable`, over HTTP.

`routes` (HTTP only) call `services` (the rules), which work on the `tables`. `accounts` and `uploads` are for what
mixes the database with slow work: hashing passwords, storing and reading PDFs.
"""
