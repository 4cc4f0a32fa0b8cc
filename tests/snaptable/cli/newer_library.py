"""The models of `library` as a later version has them: with a migration that the store hasn't seen."""

from tests.snaptable.cli.library import Library

from snaptable.migrations import Migration, fill


class Newer(Library):
    """The same tables, and a step."""

    migrations = [Migration("a name for everybody", fill("users.name", "nobody"))]  # noqa: RUF012
