"""Secrets that found their way into a text are taken out before anyone reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

_HIDDEN = "[secret]"


class Redactor:
    """Replaces every occurrence of the given secrets, also as they look inside JSON or a URL.

    Args:
        secrets: Tokens and other values that no output may show. Empty ones are ignored.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        spellings = {spelling for secret in secrets if secret for spelling in _spellings(secret)}
        longest_first = sorted(spellings, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if spellings else None
        self._in_bytes = [spelling.encode("utf-8", "backslashreplace") for spelling in longest_first]

    def __call__(self, text: str) -> str:
        """Return ``text`` without any secret."""
        return self._pattern.sub(_HIDDEN, text) if self._pattern else text

    def in_bytes(self, text: bytes) -> bytes:
        """Return ``text``, which is UTF-8, without any secret: quick where it has none, as most have."""
        for spelling in self._in_bytes:
            if spelling in text:
                text = text.replace(spelling, _HIDDEN.encode())
        return text


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
