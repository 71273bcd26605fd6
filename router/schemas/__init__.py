"""JSON Schemas (draft 2020-12) of GREEN-API's notifications.

``notifications/`` holds a file per ``typeWebhook``, ``messages/`` one per ``typeMessage`` (they
describe ``messageData``), ``common.json`` the parts they share. Each names the page it follows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from router.errors import NotFound
from router.events import JsonObject


def notification_types() -> frozenset[str]:
    """Return every ``typeWebhook`` that has a schema."""
    return frozenset(_read_folder("notifications"))


def message_types() -> frozenset[str]:
    """Return every ``typeMessage`` that has a schema."""
    return frozenset(_read_folder("messages"))


def get(name: str, messages: Mapping[str, JsonObject] = MappingProxyType({})) -> JsonObject:
    """Return the schema of a ``typeWebhook`` or a ``typeMessage``, for any validator.

    It is complete in itself: what it refers to is in its ``$defs``. The caller may change it.

    Args:
        name: The type.
        messages: Schemas by ``typeMessage``, of new messages or in place of the shipped ones; each is
            complete in itself.

    Raises:
        NotFound: No schema has this name; the message suggests one that is close.
    """
    known = {**_read_folder("messages"), **_read_folder("notifications")}
    if name not in known:
        raise NotFound(f"no schema is named {name!r}{_suggestion(name, known)}")
    return _bundle(known[name], messages)


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else "; it is a typeWebhook or a typeMessage"


@cache
def _read_folder(folder: str) -> Mapping[str, JsonObject]:
    entries = files(__name__).joinpath(folder).iterdir()
    read = {entry.name: json.loads(entry.read_text("utf-8")) for entry in entries}
    return {name.removesuffix(".json"): read[name] for name in sorted(read)}


@cache
def _read_common() -> Mapping[str, JsonObject]:
    common: JsonObject = json.loads(files(__name__).joinpath("common.json").read_text("utf-8"))
    definitions: Mapping[str, JsonObject] = common["$defs"]
    return definitions


def _bundle(schema: JsonObject, own: Mapping[str, JsonObject]) -> JsonObject:
    definitions: JsonObject = {}
    bundle: JsonObject = _localize(schema, definitions)
    if "messageData" in definitions:
        _add_messages(definitions, own)
    return {**bundle, "$defs": definitions}


def _add_messages(definitions: JsonObject, own: Mapping[str, JsonObject]) -> None:
    """Let ``typeMessage`` choose the schema; a type that is in no file is left alone.

    ``if`` and ``then`` rather than ``oneOf``, because their errors name the very field.
    """
    messages = _read_folder("messages")
    definitions["messageData"]["allOf"] = [
        {
            "if": {"properties": {"typeMessage": {"const": name}}, "required": ["typeMessage"]},
            "then": {"$ref": f"#/$defs/{name}"},
        }
        for name in {**messages, **own}
    ]
    for name, schema in own.items():
        # A document of its own, in which "#/$defs" means its own.
        definitions[name] = {**schema, "$id": f"urn:message:{quote(name)}"}
    for name, schema in messages.items():
        if name in own:
            continue
        nested = _localize(schema, definitions)
        # An $id would start a document of its own, in which "#/$defs" means another place.
        del nested["$schema"], nested["$id"]
        definitions[name] = nested


def _localize(node: Any, definitions: JsonObject) -> Any:
    """Copy a schema so that its references stay inside; add what they name to ``definitions``."""
    if isinstance(node, list):
        return [_localize(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    copy = {key: _localize(value, definitions) for key, value in node.items()}
    if "$ref" in copy:
        name = copy["$ref"].rpartition("/")[2]
        copy["$ref"] = f"#/$defs/{name}"
        if name not in definitions:
            definitions[name] = _localize(_read_common()[name], definitions)
    return copy
