"""Backups: one zip that anybody opens, verified before it gets its name, and encrypted if wanted.

archive     the format: what is in the zip, how it is written, read and verified
encryption  age, by pyrage, the extra `snaptable[backup]`
making      from a database, or a captured state, to a file with a name
naming      the names of files in a folder of backups, and which of them are kept
"""

from snaptable.backup.making import Backup, back_up, store_of, write_backup
from snaptable.backup.naming import Keep, NamedBackup, backups_in

__all__ = ["Backup", "Keep", "NamedBackup", "back_up", "backups_in", "store_of", "write_backup"]
