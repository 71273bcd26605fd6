"""What a new plugin may be called."""

from __future__ import annotations

import re
from collections.abc import Collection

from router.errors import NotMade

#: A word of small letters and digits, or several with hyphens between them.
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", re.ASCII)
_LONGEST = 40
#: How the names of packages begin, which are made of the names of plugins.
_PACKAGE = re.compile(r"^(green[-_]event[-_])?router[-_]", re.IGNORECASE)
_EXAMPLE = "order-desk"


def check_name(name: str, commands: Collection[str], plugins: Collection[str]) -> None:
    """Hold a name against what the name of a plugin is, and against those that there are.

    Args:
        name: What the plugin is to be called.
        commands: Names of the commands of ``router``.
        plugins: Names of the plugins that can be found.

    Raises:
        NotMade: It is none, or taken.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST or _PACKAGE.match(name):
        raise NotMade(
            f"a plugin cannot be named {name!r}: expected up to {_LONGEST} small letters, digits and hyphens "
            f"that begin with a letter and not with 'router-', such as {_suggestion(name)!r}"
        )
    if name in commands:
        raise NotMade(
            f"a plugin cannot be named {name!r}: 'router {name}' is a command of the router's own; "
            f"expected another name, such as {f'my-{name}'!r}"
        )
    if name in plugins:
        raise NotMade(f"there is a plugin named {name!r} already: see 'router plugins {name}'")


def _suggestion(name: str) -> str:
    """Return a good name that comes close."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", _PACKAGE.sub("", name))
    words = "-".join(re.findall(r"[a-z0-9]+", apart.lower()))
    return words.lstrip("0123456789-")[:_LONGEST].rstrip("-") or _EXAMPLE
