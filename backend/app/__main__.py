"""Let `python -m app` serve as `backend` does."""

from app.main import main

raise SystemExit(main())
