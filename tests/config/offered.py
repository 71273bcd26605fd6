"""Handlers as a configuration sees them."""

from __future__ import annotations

from collections.abc import Mapping

from router.config import Document
from router.events import JsonObject
from router.options import Options


def check(document: Document, schemas: Mapping[str, JsonObject | None]) -> None:
    """Check a document against handlers, and channels of the same names, with these schemas of options."""
    offered = {name: Options(schema, lambda options: options) for name, schema in schemas.items()}
    document.check_handlers(offered)
    document.check_channels(offered)
    document.check_plugins({"ledger"})
