"""Look after: verify a store, repair it, back it up. These take the store as their argument."""

from snaptable.cli.commands import Command
from snaptable.cli.groups.parameters import (
    argument,
    at_option,
    dry_run_option,
    flag,
    option,
    passphrase_option,
    schema_option,
    store_argument,
    yes_option,
)

CHECK = """Verify a store: formats, checksums, strict JSON, counts, keys, and every frame of the journal. Needs no
lock, so the store may be open, and changes nothing."""
REPAIR = """Make a damaged store open again, as far as that is safe. Says what it would do and asks; keeps every
byte it sets aside in quarantine/; names the commits that can't be saved. The store must be closed."""
ACCEPT = """Take over an edit of db_snapshot.json that was made while the store was closed, or an older copy of it
that was put back: show what changes by table, key and field, ask, and make it a commit like any other. With --discard,
continue from the journal instead. The file is kept in quarantine/ either way."""
BACKUP = """Write the state of a store, its history, and the folders beside it (backup_folders of its Database
class) as one zip, read it back, verify it, and only then give it its name. The store may be open. Nothing is replaced:
FILE is a new file, or a folder, in which a name is made of the time and the sequence. A process that removes files
beside the store all the time should make the backup itself: db.backup(path), or BACKEND_BACKUP_DIR."""
RESTORE = """Verify every byte of a backup, unpack it beside STORE, open it there, and swap the two folders; what was
in STORE is kept as STORE.before-restore-TIME. The store must be closed. With --at the state is that of a moment, and
the history ends there. Says what it would do and asks first. To go back in the store itself: rewind."""
MIGRATE = """Apply the migrations of a Database class that a store hasn't seen, as opening it does: show what each
step changes, ask, and do it in one commit. The snapshot before it is kept in db_before/."""

COMMANDS = (
    Command(
        "check",
        [store_argument(), schema_option()],
        CHECK,
        short_help="verify everything, change nothing",
        looks_after=True,
    ),
    Command(
        "repair",
        [
            store_argument(),
            yes_option(),
            dry_run_option("Say what it would do, and end."),
            flag("--discard-edit", help="Treat a snapshot that was edited by hand as a damaged one."),
        ],
        REPAIR,
        short_help="make a damaged store open again",
        looks_after=True,
    ),
    Command(
        "accept",
        [
            store_argument(),
            schema_option(),
            yes_option(),
            flag("--all", "every", help="Show every changed row, not only the first 20 of each table."),
            flag("--discard", help="Give up the edit, or the copy put back, and continue from the journal."),
        ],
        ACCEPT,
        short_help="take over an edit of db_snapshot.json",
        looks_after=True,
    ),
    Command(
        "backup",
        [
            store_argument(),
            argument("file"),
            schema_option(),
            option("--folder", metavar="NAME", multiple=True, help="A folder beside the store to put in too."),
            option(
                "--to",
                "recipient",
                metavar="KEY",
                multiple=True,
                help="Encrypt for a public key, age1… or ssh-…; may be repeated.",
            ),
            passphrase_option(),
        ],
        BACKUP,
        short_help="write the store as one verified zip",
        looks_after=True,
    ),
    Command(
        "restore",
        [
            argument("backup"),
            store_argument(),
            at_option("The state after"),
            schema_option(),
            option(
                "--erased",
                metavar="STORE",
                help="A store whose purges hold for the backup too. [default: the one in STORE]",
            ),
            option("--identity", metavar="FILE", multiple=True, help="Private keys that decrypt it."),
            passphrase_option(),
            yes_option(),
        ],
        RESTORE,
        short_help="put a backup in the place of a store",
        looks_after=True,
    ),
    Command(
        "migrate",
        [
            store_argument(),
            schema_option("The Database class with its migrations. [default: the one that opened the store last]"),
            yes_option(),
            dry_run_option("Only show what would be done; the store may be open."),
        ],
        MIGRATE,
        short_help="apply pending migrations",
        looks_after=True,
    ),
)
