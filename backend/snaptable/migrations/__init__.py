"""Migrations: rows brought into the shape of today's models, by steps that are written down.

    from snaptable.migrations import Migration, fill, rename, retype, run

    class Library(Database):
        documents: Table[Document]
        migrations = [
            Migration("documents: title becomes name", rename("documents.title", to="name")),
            Migration("tags from text", retype("documents.tags", using=lambda text: text.split(","))),
        ]

At an opening those that the store hasn't seen are applied in the order of the list, every row is validated, every
constraint is checked, and all of it is one commit. The snapshot before it stays in `db_before/`.

    declared     Migration, and the functions that make steps
    steps        what each step does
    raw, shape   what steps work on, and what they know of it
    plan         which are pending; applied one after the other
    advice       what to write for rows that don't fit
"""

from snaptable.migrations.declared import (
    Migration,
    add,
    drop,
    drop_table,
    each,
    fill,
    rekey,
    rename,
    rename_table,
    retype,
    run,
)
from snaptable.migrations.raw import RawDatabase, RawRow, RawTable
from snaptable.migrations.step import Step

__all__ = [
    "Migration",
    "RawDatabase",
    "RawRow",
    "RawTable",
    "Step",
    "add",
    "drop",
    "drop_table",
    "each",
    "fill",
    "rekey",
    "rename",
    "rename_table",
    "retype",
    "run",
]
