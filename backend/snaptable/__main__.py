"""`python -m snaptable` is the command `snaptable`."""

from snaptable.cli import main

raise SystemExit(main())
