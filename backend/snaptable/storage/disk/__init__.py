"""What lies on the disk, whatever it holds: files, their names, the lock, atomic writes, the quarantine."""
