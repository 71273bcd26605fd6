"""When two notifications are the same one, for every inbox that keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class Dedup:
    """When two notifications with the same key are one."""

    window: timedelta
    deliver_changed: bool


def key_hash(key: str) -> bytes:
    """Return a dedup key as the tables hold it: short, however long the key is."""
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
