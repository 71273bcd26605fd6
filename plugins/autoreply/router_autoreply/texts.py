"""Texts as they are compared."""

from __future__ import annotations

import unicodedata

import re2  # type: ignore[import-untyped]

#: Characters of a text that are looked at.
LONGEST = 20_000

#: Marks on one letter beyond what any language has: putting n of them in order takes n² steps.
#: https://unicode.org/reports/tr15/#Stream_Safe_Text_Format
_MANY_MARKS = re2.compile(r"(\pM{30})\pM+")


def folded(text: str) -> str:
    """Return a text as it is compared: without upper case, and one form for what looks alike."""
    text = _MANY_MARKS.sub(r"\1", text)
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
