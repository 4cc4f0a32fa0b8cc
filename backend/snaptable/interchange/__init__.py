"""Rows of other files: read with the models' types, checked before anything is written, and written out again.

    parsed = read_file("people.csv")
    plan = plan_import(db.users, parsed.records(), mapping={"mail": "email"})
    print(plan)                                       # counts, the first faults by line, three examples
    plan.apply(note="spring batch")                   # all of it as one commit, or nothing
    export(db.users.where(User.age > 30), "adults.csv")

JSON, JSON lines, CSV, sqlite, the files of json-server, lowdb and TinyDB, and snapshots are read and written. Secrets
are masked in what is written; a masked one that comes back leaves the stored one alone.
"""

from snaptable.interchange.exporting import export, export_bytes
from snaptable.interchange.formats import FORMATS, SUFFIXES, Format, format_of
from snaptable.interchange.parsed import ParsedFile, Record
from snaptable.interchange.planning import Imported, ImportPlan, plan_import
from snaptable.interchange.reading import MAX_FILE_BYTES, read_bytes, read_file
from snaptable.interchange.row_reader import suggested_mapping

__all__ = [
    "FORMATS",
    "MAX_FILE_BYTES",
    "SUFFIXES",
    "Format",
    "ImportPlan",
    "Imported",
    "ParsedFile",
    "Record",
    "export",
    "export_bytes",
    "format_of",
    "plan_import",
    "read_bytes",
    "read_file",
    "suggested_mapping",
]
