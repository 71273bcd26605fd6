"""Secrets that found their way into a text are taken out before anyone reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote, quote_plus

_HIDDEN = "[secret]"
#: Secrets from this many bytes on are looked for by their pieces, if there are so many of them.
_LONG = 24
_MANY = 32
#: Bytes of a piece.
_PIECE = 8


class Redactor:
    """Replaces every occurrence of the given secrets, also as they look inside JSON or a URL.

    Args:
        secrets: Tokens and other values that no output may show. Empty ones are ignored.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        spellings = {spelling for secret in secrets if secret for spelling in _spellings(secret)}
        longest_first = sorted(spellings, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if spellings else None
        in_bytes = [spelling.encode("utf-8", "backslashreplace") for spelling in longest_first]
        long = [spelling for spelling in in_bytes if len(spelling) >= _LONG]
        self._pieces = _Pieces(long) if len(long) >= _MANY else None
        self._in_bytes = in_bytes
        self._short = [spelling for spelling in in_bytes if len(spelling) < _LONG]

    def __call__(self, text: str) -> str:
        """Return ``text`` without any secret."""
        return self._pattern.sub(_HIDDEN, text) if self._pattern else text

    def in_bytes(self, text: bytes) -> bytes:
        """Return ``text``, which is UTF-8, without any secret: quick where it has none, as most have."""
        is_clear = self._pieces is not None and self._pieces.are_not_in(text)
        for spelling in self._short if is_clear else self._in_bytes:
            if spelling in text:
                text = text.replace(spelling, _HIDDEN.encode())
        return text


class _Pieces:
    """Tells quickly that a text holds none of many long secrets: an account each, and a line for each event.

    Of every secret it knows the pieces of 8 bytes from its beginning on, so many that whoever reads a text
    in steps of that number meets one of them wherever the secret stands.
    """

    def __init__(self, spellings: Sequence[bytes]) -> None:
        self._step = min(map(len, spellings)) - _PIECE + 1
        self._known = frozenset(
            spelling[at : at + _PIECE] for spelling in spellings for at in range(self._step)
        )

    def are_not_in(self, text: bytes) -> bool:
        """Return true if no secret is in the text; false says nothing."""
        read = [text[at : at + _PIECE] for at in range(0, len(text) - _PIECE + 1, self._step)]
        return self._known.isdisjoint(read)


def _spellings(secret: str) -> set[str]:
    written = {
        secret,
        repr(secret)[1:-1],
        quote(secret, errors="replace"),
        quote(secret, safe="", errors="replace"),
        quote_plus(secret, errors="replace"),
    }
    in_json = _in_json(written)
    return written | in_json | _in_json(in_json)  # a line of JSON may quote a text of JSON


def _in_json(texts: Iterable[str]) -> set[str]:
    return {json.dumps(text, ensure_ascii=only_ascii)[1:-1] for text in texts for only_ascii in (True, False)}
