"""What a rule listens for: keywords, a regular expression or a command. Each gives values for the reply.

All searching is done by RE2, whose time grows with the length of the text and nothing else: no pattern
and no message can make it hang.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import re2  # type: ignore[import-untyped]

from router_autoreply.said import folded

#: Finds in a text what a rule listens for: values by name, ``None`` if it is not there.
Find = Callable[[str], Mapping[str, str] | None]

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
#: Bytes that one pattern may take.
_OPTIONS.max_mem = 1 << 20

#: In RE2 these know the letters of English only: on other texts they would silently not match.
_ENGLISH_ONLY = re.compile(r"(?<!\\)(?:\\\\)*(?P<found>\\[bBwW])")
_LETTER = r"\pL\pM\pN_"
_IS_LETTER = re2.compile(f"[{_LETTER}]")


def keywords(words: Sequence[str]) -> Find:
    r"""Return what finds any of the words, as a whole, whatever its case.

    Raises:
        ValueError: A word is blank.
    """
    if not all(word.strip() for word in words):
        raise ValueError("a keyword is blank")
    pattern = re2.compile("|".join(_whole(folded(word).split()) for word in words), _OPTIONS)
    return lambda text: {} if pattern.search(folded(text)) else None


def regex(pattern: str) -> tuple[Find, list[str]]:
    """Return what searches for a regular expression, and the names of its groups.

    Raises:
        ValueError: It is none, or means less than it seems to.
    """
    if found := _ENGLISH_ONLY.search(pattern):
        raise ValueError(_advice(found["found"]))
    try:
        compiled = re2.compile(pattern, _OPTIONS)
    except re2.error as exc:
        raise ValueError(f"regex: {_reason(exc)}; its syntax is RE2's") from None
    names = sorted(compiled.groupindex, key=compiled.groupindex.__getitem__)
    return lambda text: _groups(compiled.search(text)), names


def command(words: Sequence[str], arguments: Sequence[str]) -> Find:
    """Return what finds a message that begins with one of the words.

    Args:
        words: The command and its other names.
        arguments: Names for the words behind it; the last one takes all that is left.

    Raises:
        ValueError: A word has white space in it, or a name occurs twice.
    """
    if wrong := [word for word in words if len(word.split()) != 1]:
        raise ValueError(f"a command is one word, found {wrong[0]!r}")
    if len(set(arguments)) != len(arguments):
        raise ValueError(f"arguments: a name occurs twice in {', '.join(arguments)}")
    known = {folded(word.strip()) for word in words}

    def find(text: str) -> Mapping[str, str] | None:
        said, *rest = text.split(maxsplit=1)
        return _arguments(rest, arguments) if folded(said) in known else None

    return find


def _whole(words: Sequence[str]) -> str:
    """Return what finds words with any white space between them, but not within a longer word."""
    before = rf"(?:^|[^{_LETTER}])" if _IS_LETTER.match(words[0]) else ""
    after = rf"(?:$|[^{_LETTER}])" if _IS_LETTER.match(words[-1][-1]) else ""
    return before + r"\s+".join(map(re2.escape, words)) + after


def _arguments(rest: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    words = rest[0].split(maxsplit=max(len(names) - 1, 0)) if rest else []
    return {f"argument.{name}": word.strip() for name, word in zip(names, words, strict=False)}


def _groups(found: Any) -> Mapping[str, str] | None:
    if found is None:
        return None
    return {f"match.{name}": value or "" for name, value in found.groupdict().items()}


def _advice(found: str) -> str:
    if found in {r"\w", r"\W"}:
        instead = f"[{_LETTER}]" if found == r"\w" else f"[^{_LETTER}]"
        return rf"regex: {found} knows English letters only; for those of all languages write {instead}"
    return rf"regex: {found} knows English letters only; for whole words use keywords, or (?:^|[^{_LETTER}])"


def _reason(exc: Exception) -> str:
    reason = exc.args[0] if exc.args else ""
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
