"""The tracker: learning tracks of lessons, users who enrol and progress, numbers over all of it."""
