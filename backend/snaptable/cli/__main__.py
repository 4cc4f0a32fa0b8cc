"""`python -m snaptable.cli` is the command `snaptable`."""

from snaptable.cli.main import main

raise SystemExit(main())
