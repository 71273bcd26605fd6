"""What a schema cannot say: rules between values, addresses, patterns. Each rule notes its own problems."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from router import patterns
from router.config.settings import DedupSettings, InboxSettings, Network
from router.config.structure import suggestion
from router.config.tree import Keys, Tree
from router.errors import PatternError
from router.retry import RetryPolicy
from router.units import seconds

#: Paths that the router serves itself; the last two have everything below them as well.
RESERVED_PATHS = ("/healthz", "/readyz", "/metrics", "/console", "/plugins")
#: In ``webhook.allow``: the addresses that GREEN-API publishes.
GREEN_API = "green-api"
_A_DATABASE = "postgresql://user:password@host:5432/database"
#: How the URL of an inbox in PostgreSQL begins.
POSTGRESQL = ("postgresql://", "postgres://")


def label(tree: Tree, keys: Keys) -> str:
    """Return what a message about the value begins with: ``route 'orders': retry.max: ``."""
    head, rest = _subject(tree, keys)
    way = ".".join(key for key in rest if isinstance(key, str))
    return "".join(f"{part}: " for part in (head, way) if part)


def _subject(tree: Tree, keys: Keys) -> tuple[str, Keys]:
    match keys:
        case ("routes", int(index), *rest):
            return _named("route", tree, (*keys[:2], "name"), index), tuple(rest)
        case ("instances", int(index), *rest):
            return _named("instance", tree, (*keys[:2], "id"), index), tuple(rest)
        case ("plugins", int(index), *rest):
            return _named("plugin", tree, (*keys[:2], "name"), index), tuple(rest)
        case ("alerts", int(index), *rest):
            return _named("alert", tree, (*keys[:2], "handler"), index), tuple(rest)
    return "", keys


def _named(what: str, tree: Tree, keys: Keys, index: int) -> str:
    named = isinstance(tree.raw(keys), str | int)
    return f"{what} {tree.shown(keys)}" if named else f"{what} number {index + 1}"


def check_rules(tree: Tree, folder: Path) -> None:
    """Note every breach of a rule, passing over what the schema has refused already."""
    for rule in _RULES:
        rule(tree)
    _check_plugins_dir(tree, folder)


def items(tree: Tree, *keys: str | int) -> Iterator[Keys]:
    """Yield where the usable items of a list stand."""
    value = tree.get(keys)
    for index in range(len(value) if isinstance(value, list) else 0):
        if not tree.is_broken((*keys, index)):
            yield (*keys, index)


def _complain(tree: Tree, keys: Keys, message: str) -> None:
    tree.complain(tree.place(keys), f"{label(tree, keys)}{message}")
    tree.broken.add(keys)


def _check_unique(tree: Tree, section: str, key: str) -> None:
    first: dict[Any, Keys] = {}
    for item in items(tree, section):
        keys = (*item, key)
        value = tree.get(keys)
        if isinstance(value, str | int) and first.setdefault(value, keys) != keys:
            place = tree.place(first[value])
            subject = f"{section.removesuffix('s')} {tree.shown(keys)}"
            message = f"{subject}: the {key} is already taken at {place.line}:{place.column}"
            tree.complain(tree.place(keys), message)


def _check_instance_ids(tree: Tree) -> None:
    _check_unique(tree, "instances", "id")


def _check_route_names(tree: Tree) -> None:
    _check_unique(tree, "routes", "name")


def _check_polling(tree: Tree) -> None:
    for item in items(tree, "instances"):
        token = (*item, "token")
        if (
            tree.get((*item, "transport")) == "polling"
            and tree.get(token) is None
            and not tree.is_broken(token)
        ):
            keys = (*item, "transport")
            tree.complain(tree.place(keys), f"{label(tree, item)}transport polling needs a 'token'")


def _check_webhook_path(tree: Tree) -> None:
    keys = ("webhook", "path")
    path = tree.get(keys)
    if path is None:
        return
    if path.rstrip("/") in RESERVED_PATHS or path.startswith(("/console/", "/plugins/")):
        _complain(
            tree, keys, f"{tree.shown(keys)} is one of the router's own paths ({', '.join(RESERVED_PATHS)})"
        )


def _check_addresses(tree: Tree) -> None:
    for keys in items(tree, "webhook", "allow"):
        if tree.get(keys) != GREEN_API:
            _check_address(
                tree, keys, f"{GREEN_API}, an address or a range such as 203.0.113.0/24", (GREEN_API,)
            )
    for keys in items(tree, "webhook", "trusted_proxies"):
        _check_address(tree, keys, "an address or a range such as 10.0.0.0/8", ())


def _check_address(tree: Tree, keys: Keys, expected: str, words: tuple[str, ...]) -> None:
    value = tree.get(keys)
    try:
        network(value)
    except ValueError:
        hint = suggestion(value, words) or _wider(value, hidden=keys in tree.references)
        _complain(tree, keys, f"bad address {tree.shown(keys)}: expected {expected}{hint}")


def network(text: str) -> Network:
    """Return an address, as a range of one, or a range.

    Raises:
        ValueError: The text is neither.
    """
    return ipaddress.ip_network(text)


def _wider(text: str, *, hidden: bool) -> str:
    """Suggest the range around an address that was written with bits outside its prefix."""
    if hidden:
        return ""
    try:
        return f", did you mean {str(ipaddress.ip_network(text, strict=False))!r}?"
    except ValueError:
        return ""


def _check_inbox_url(tree: Tree) -> None:
    keys = ("inbox", "url")
    url = tree.get(keys, "")
    if url.startswith(POSTGRESQL):
        _check_postgresql(tree, keys, url)
    if url == "memory://" and tree.get(("webhook", "ack")) == "stored":
        message = "stored needs a store, and inbox.url is memory://: expected handled"
        _complain(tree, ("webhook", "ack"), message)


def _check_postgresql(tree: Tree, keys: Keys, url: str) -> None:
    try:
        psycopg = import_module("psycopg")  # most do without, and it takes 0.1 s
    except ImportError:
        _complain(tree, keys, "PostgreSQL needs psycopg, found none: install green-event-router[postgres]")
        return
    try:
        psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error as exc:
        found = str(exc).partition('"')[0].strip(" :\n")  # what is quoted may be of the password
        message = f"expected a URL as libpq takes it, such as {_A_DATABASE}, found one with a fault: {found}"
        _complain(tree, keys, message)


def _check_retention(tree: Tree) -> None:
    retention = _seconds(tree, ("inbox", "retention"), InboxSettings().retention)
    window = _seconds(tree, ("dedup", "window"), DedupSettings().window)
    if retention is None or window is None or retention >= window:
        return
    keys: Keys = ("inbox", "retention")
    if tree.get(keys) is None:
        keys = ("dedup", "window")
    message = "inbox.retention is shorter than dedup.window: a duplicate is known by the event that is kept"
    tree.complain(tree.place(keys), message)


def _check_retry_delays(tree: Tree) -> None:
    for item in items(tree, "routes"):
        first = _seconds(tree, (*item, "retry", "first"), RetryPolicy().first)
        longest = _seconds(tree, (*item, "retry", "max"), RetryPolicy().max)
        if first is not None and longest is not None and first > longest:
            keys = (*item, "retry")
            tree.complain(tree.place(keys), f"{label(tree, keys)}first is longer than max")


def _seconds(tree: Tree, keys: Keys, default: float) -> float | None:
    """Return the duration, the default where there is none, or ``None`` where it is of no use."""
    if tree.is_broken(keys):
        return None
    text = tree.get(keys)
    return default if text is None else seconds(text)


def _check_patterns(tree: Tree) -> None:
    for item in items(tree, "routes"):
        keys = (*item, "when")
        pattern = tree.get(keys)
        if pattern is not None and not tree.has_broken(keys):
            for error in patterns.problems(pattern):
                _complain_about_pattern(tree, keys, error)


def _complain_about_pattern(tree: Tree, when: Keys, error: PatternError) -> None:
    keys = (*when, *error.path)
    place = tree.key_place(keys)
    way = ".".join(("when", *map(str, error.path)))
    tree.complain(place, f"{label(tree, when[:2])}{way}: {_without_references(tree, keys, error.message)}")


def _without_references(tree: Tree, keys: Keys, message: str) -> str:
    """Show a reference as it is written where the message quotes what it stands for."""
    for at, reference in tree.references.items():
        if at[: len(keys)] == keys or keys[: len(at)] == at:
            written = json.dumps(reference.written, ensure_ascii=False)
            message = message.replace(json.dumps(reference.text, ensure_ascii=False), written)
            if reference.text[:8] in message:
                return f"{written} stands for a value that has no meaning here; in quotes it is text"
    return message


def _check_alert_kinds(tree: Tree) -> None:
    for item in items(tree, "alerts"):
        keys = (*item, "kinds")
        if tree.get(keys) == ["recovered"]:
            _complain(tree, keys, "recovered alone tells nothing: expected the kinds whose end it tells, too")


def _check_route_tests(tree: Tree) -> None:
    for route in items(tree, "routes"):
        for keys in items(tree, *route, "tests"):
            test = tree.get(keys)
            if not test.keys() <= {"sample", "file", "matches"}:
                continue  # a misspelt one
            if ("sample" in test) == ("file" in test):
                found = "both" if "sample" in test else "neither"
                _complain(tree, keys, f"expected either 'sample' or 'file', found {found}")


def _check_waiting(tree: Tree) -> None:
    """A route without its handler lets deliveries wait, and in memory they would fill the process."""
    if tree.get(("inbox", "url")) != "memory://":
        return
    for route in items(tree, "routes"):
        keys = (*route, "required")
        if tree.get(keys) is False:
            _complain(tree, keys, "false needs an inbox on disk, where deliveries can wait")


def _check_plugin_names(tree: Tree) -> None:
    _check_unique(tree, "plugins", "name")


def _check_plugins_dir(tree: Tree, folder: Path) -> None:
    keys = ("plugins_dir",)
    value = tree.get(keys)
    if value is not None and not (folder / value).is_dir():
        _complain(tree, keys, f"there is no folder {tree.shown(keys)} beside this file")


_RULES: tuple[Callable[[Tree], None], ...] = (
    _check_instance_ids,
    _check_route_names,
    _check_plugin_names,
    _check_waiting,
    _check_polling,
    _check_webhook_path,
    _check_addresses,
    _check_inbox_url,
    _check_retention,
    _check_retry_delays,
    _check_patterns,
    _check_alert_kinds,
    _check_route_tests,
)
