"""What keeps a file from being stored, beside what passes by itself."""

from __future__ import annotations


class NotWanted(Exception):
    """Raised for a file that the options refuse: its size, its type, its extension."""


class Gone(Exception):
    """Raised when there is no file at a URL, or not any more: GREEN-API may give another one."""
