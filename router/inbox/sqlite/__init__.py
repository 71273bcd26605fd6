"""The embedded inbox: one SQLite file for one process."""
