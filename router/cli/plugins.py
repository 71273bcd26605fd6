"""``router plugins``: what is installed, what it offers, which routes use it, and what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from router.cli.options import ConfigOption, JsonOption
from router.cli.output import show_facts, show_json, show_rows
from router.config import Document, read
from router.errors import ConfigError, NotFound, PluginError
from router.events import JsonObject
from router.plugins import Plugin, RegisteredChannel, RegisteredHandler, load_all

_COLUMNS = ("name", "version", "origin", "status", "handlers", "routes", "problem")
_OPTION_COLUMNS = ("option", "type", "default", "meaning")


def plugins(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show this one, with the options of its handlers.")
    ] = None,
    config: ConfigOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """List the plugins that can be found: hooks, handlers, which routes use them, what failed and why."""
    document = _document(config)
    found = load_all(document.plugins_dir if document else None)
    used = _Used(document)
    rows = [_loaded(plugin, used) for plugin in found.active] + [_failed(exc) for exc in found.problems]
    if name is not None:
        rows = [row for row in rows if row["name"] == name]
        if not rows:
            raise NotFound(f"no plugin is named {name!r}: see 'router plugins'")
    if as_json:
        show_json(rows)
    elif name is not None:
        for row in rows:
            _show_one(row)
    else:
        show_rows([_short(row) for row in rows], _COLUMNS, "no plugin is installed")


def _document(config: Path) -> Document | None:
    """Read the configuration if it can be read: plugins can be listed without."""
    try:
        return read(config, os.environ)
    except ConfigError:
        return None


class _Used:
    """What ``routes.yaml`` names, if there is one."""

    def __init__(self, document: Document | None) -> None:
        self._document = document
        self._routes = document.uses("routes") if document else {}
        self._alerts = document.uses("alerts") if document else {}

    def routes(self, handler: str) -> list[str]:
        return self._routes.get(handler, [])

    def is_used(self, plugin: Plugin) -> bool:
        names = self._document.plugin_names if self._document else frozenset()
        offered = not (
            self._routes.keys().isdisjoint(plugin.handlers)
            and self._alerts.keys().isdisjoint(plugin.channels)
        )
        return offered or plugin.name in names


def _loaded(plugin: Plugin, used: _Used) -> JsonObject:
    is_used = used.is_used(plugin)
    return {
        "name": plugin.name,
        "version": plugin.version,
        "origin": plugin.origin,
        "status": "loaded" if is_used else "installed",
        "used": is_used,
        "hooks": list(plugin.hooks),
        "handlers": [
            {**_offer(handler), "routes": used.routes(name)}
            for name, handler in sorted(plugin.handlers.items())
        ],
        "channels": [_offer(channel) for _, channel in sorted(plugin.channels.items())],
        "problem": None,
    }


def _offer(offered: RegisteredHandler | RegisteredChannel) -> JsonObject:
    return {"name": offered.name, "options": offered.options.schema}


def _failed(exc: PluginError) -> JsonObject:
    return {
        "name": exc.plugin,
        "version": None,
        "origin": exc.origin,
        "status": "failed",
        "used": False,
        "hooks": [],
        "handlers": [],
        "channels": [],
        "problem": exc.message,
    }


def _short(row: JsonObject) -> JsonObject:
    offers = [*row["handlers"], *row["channels"]]
    routes = [route for handler in row["handlers"] for route in handler["routes"]]
    named = {"handlers": ", ".join(one["name"] for one in offers), "routes": ", ".join(routes)}
    return {**row, **{key: text or None for key, text in named.items()}}


def _show_one(row: JsonObject) -> None:
    keys = ("name", "version", "origin", "status", "problem")
    show_facts({**{key: row[key] for key in keys}, "hooks": ", ".join(row["hooks"]) or None})
    for what, offers in (("handler", row["handlers"]), ("alert channel", row["channels"])):
        for offer in offers:
            routes = ", ".join(offer.get("routes", ()))
            print(f"\n{what} {offer['name']}{f' (routes: {routes})' if routes else ''}")
            nothing = "  takes any options" if offer["options"] is None else "  takes no options"
            show_rows(list(_options(offer["options"] or {})), _OPTION_COLUMNS, nothing)


def _options(
    schema: Mapping[str, Any], before: str = "", inside: tuple[str, ...] = ()
) -> Iterator[JsonObject]:
    """Yield a row for each option, and after it rows for those inside it."""
    definitions = schema.get("$defs", {})
    required = schema.get("required", ())
    for name, each in schema.get("properties", {}).items():
        yield {
            "option": f"{before}{name}",
            "type": _type(each),
            "default": "required" if name in required else each.get("default"),
            "meaning": each.get("description"),
        }
        for way, referred in _referred(each):
            if referred in definitions and referred not in inside:
                nested = {**definitions[referred], "$defs": definitions}
                yield from _options(nested, f"{before}{name}{way}.", (*inside, referred))


def _referred(schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the definitions that a value may have, each with the way to it."""
    if "$ref" in schema:
        yield "", str(schema["$ref"]).rpartition("/")[2]
    for form in schema.get("anyOf", ()):
        yield from _referred(form)
    for key, way in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(schema.get(key), Mapping):
            yield from ((f"{way}{further}", name) for further, name in _referred(schema[key]))


def _type(schema: Mapping[str, Any]) -> str:
    if "x-noun" in schema:
        return str(schema["x-noun"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(map(_type, schema["anyOf"]))
    if isinstance(schema.get("items"), Mapping):
        return f"list of {_type(schema['items'])}"
    found = schema.get("type", "object" if "$ref" in schema else "any")
    return found if isinstance(found, str) else " | ".join(found)
