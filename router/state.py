"""What a plugin remembers of a chat: JSON values by key, durable."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

import orjson

from router.blocking import Blocking, blocking
from router.inbox.store import Store

#: Characters of a key, and bytes of a value's JSON, at most.
LONGEST_KEY = 512
LARGEST_VALUE = 64 * 1024


class State:
    """What a plugin keeps for a chat of an instance. Every method raises `InboxUnavailable`.

    Args:
        store: Where it is kept.
        scope: Whose it is.
        check: Raises when it may not be used any more.
    """

    def __init__(self, store: Store, scope: str, check: Callable[[], object]) -> None:
        self._store = store
        self._scope = scope
        self._check = check

    async def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or ``default`` if it has none or its time is over."""
        self._check()
        value = await self._store.get(self._scope, checked_key(key))
        return default if value is None else orjson.loads(value)

    async def set(self, key: str, value: Any, *, ttl: float | None = None) -> None:
        """Remember a value; durable when it returns.

        Args:
            key: Up to 512 characters.
            value: JSON of up to 64 KiB: ``None``, booleans, numbers, text, lists, dicts with text as keys.
            ttl: Seconds after which it is forgotten; never when left out.

        Raises:
            TypeError: The value, or something in it, is no JSON.
            ValueError: The key or the value is too long, or ``ttl`` is no time.
        """
        self._check()
        encoded = _encoded(checked_key(key), value)
        await self._store.set(self._scope, key, encoded, ttl=ttl)

    async def delete(self, key: str) -> None:
        """Forget a key."""
        self._check()
        await self._store.delete(self._scope, checked_key(key))


class BlockingState(Blocking[State]):
    """A `State` whose methods block, for handlers that are ``def``."""

    get = blocking(State.get)
    set = blocking(State.set)
    delete = blocking(State.delete)


def checked_key(key: object) -> str:
    """Return a key that can be one.

    Raises:
        TypeError: It is no text.
        ValueError: It is empty, too long, or text that nothing can store.
    """
    if not isinstance(key, str):
        raise TypeError(f"expected a key that is text, found {type(key).__name__}")
    if not 0 < len(key) <= LONGEST_KEY:
        found = f"one of {len(key)}: {key[:40]!r}…" if key else "an empty one"
        raise ValueError(f"expected a key of 1 to {LONGEST_KEY} characters, found {found}")
    if not key.isascii() and any("\ud800" <= character <= "\udfff" for character in key):
        raise ValueError(f"expected a key that can be stored, found half a surrogate pair in {key!r}")
    return key


def _encoded(key: str, value: Any) -> bytes:
    if found := _no_json(value, "$"):
        raise TypeError(f"state {key!r}: expected JSON, found {found}")
    try:
        encoded = orjson.dumps(value)
    except orjson.JSONEncodeError as exc:  # a number too large, half a surrogate pair
        raise TypeError(f"state {key!r}: expected JSON: {exc}") from None
    if len(encoded) > LARGEST_VALUE:
        raise ValueError(
            f"state {key!r}: expected a value of up to {LARGEST_VALUE} bytes, found {len(encoded)}"
        )
    return encoded


def _no_json(value: Any, path: str, depth: int = 0) -> str | None:
    """Return what in a value is no JSON, and where. What orjson turns into something else counts, too."""
    if depth > _DEEPEST:
        return f"more than {_DEEPEST} levels of nesting"
    match value:
        case float():
            return None if isfinite(value) else f"{value} at {path}"
        case list() | tuple():
            items = ((f"{path}[{index}]", item) for index, item in enumerate(value))
        case dict():
            if odd := next((key for key in value if type(key) is not str), None):
                return f"the key {odd!r} at {path}"
            items = ((f"{path}.{key}", item) for key, item in value.items())
        case _:
            return None if type(value) in _PLAIN else f"{type(value).__name__} at {path}"
    return next(filter(None, (_no_json(item, at, depth + 1) for at, item in items)), None)


#: What has no parts and is JSON as it is. Subclasses, such as members of an enum, come back as others.
_PLAIN = {type(None), bool, str, int}
#: orjson nests no deeper.
_DEEPEST = 250
