"""What lies on the disk, whatever it contains: files, their names, the lock, atomic writes, the quarantine."""
