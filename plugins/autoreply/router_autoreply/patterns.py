"""What a rule listens for: keywords, a regular expression or a command. Each gives values for the reply.

All searching is done by RE2, whose time grows with the length of the text and nothing else: no pattern
and no message can make it hang.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import re2  # type: ignore[import-untyped]

from router_autoreply.said import Said
from router_autoreply.texts import folded

#: Finds what a rule listens for: values by name, ``None`` if it is not there.
Find = Callable[[Said], Mapping[str, str] | None]

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
#: Bytes that one pattern may take.
_OPTIONS.max_mem = 1 << 20

#: In RE2 these know the letters of English only: on other texts they would silently not match.
_ENGLISH_ONLY = re.compile(r"(?<!\\)(?:\\\\)*(?P<found>\\[bBwW])")
_LETTER, _NO_LETTER = r"[\pL\pM\pN_]", r"[^\pL\pM\pN_]"
_IS_LETTER = re2.compile(_LETTER)


def keywords(words: Sequence[str]) -> Find:
    """Return what finds any of the words, as a whole, whatever its case.

    Raises:
        ValueError: A word is blank, or there are too many.
    """
    if not all(word.strip() for word in words):
        raise ValueError("keywords: one is blank")
    alike = defaultdict(list)
    for word in words:
        parts = folded(word).split()
        # A word that begins or ends with a letter has none before or after it.
        edges = (_IS_LETTER.match(parts[0]) is not None, _IS_LETTER.match(parts[-1][-1]) is not None)
        alike[edges].append(r"\s+".join(map(re2.escape, parts)))
    pattern = _compiled("keywords", "|".join(_any_of(same, *edges) for edges, same in alike.items()))
    return lambda said: {} if pattern.search(said.folded) else None


def regex(pattern: str) -> tuple[Find, list[str]]:
    """Return what searches for a regular expression, and the names of its groups.

    Raises:
        ValueError: It is none, or means less than it seems to.
    """
    if found := _ENGLISH_ONLY.search(pattern):
        raise ValueError(_advice(found["found"]))
    compiled = _compiled("regex", pattern)
    names = sorted(compiled.groupindex, key=compiled.groupindex.__getitem__)
    return lambda said: _groups(compiled.search(said.text)), names


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

    def find(said: Said) -> Mapping[str, str] | None:
        word, *rest = said.text.split(maxsplit=1)
        return _arguments(rest, arguments) if folded(word) in known else None

    return find


def _any_of(words: Sequence[str], begins: bool, ends: bool) -> str:
    before, after = f"(?:^|{_NO_LETTER})" if begins else "", f"(?:$|{_NO_LETTER})" if ends else ""
    return f"{before}(?:{'|'.join(words)}){after}"


def _compiled(what: str, pattern: str) -> Any:
    try:
        return re2.compile(pattern, _OPTIONS)
    except re2.error as exc:
        reason = exc.args[0].decode("utf-8", "replace")
        raise ValueError(f"{what}: {reason}; the syntax is that of RE2") from None


def _arguments(rest: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    words = rest[0].split(maxsplit=max(len(names) - 1, 0)) if rest else []
    return {f"argument.{name}": word.strip() for name, word in zip(names, words, strict=False)}


def _groups(found: Any) -> Mapping[str, str] | None:
    if found is None:
        return None
    return {f"match.{name}": value or "" for name, value in found.groupdict().items()}


def _advice(found: str) -> str:
    instead = {r"\w": f"write {_LETTER}", r"\W": f"write {_NO_LETTER}"}.get(
        found, "use keywords for whole words"
    )
    return f"regex: {found} knows English letters only; {instead}"
