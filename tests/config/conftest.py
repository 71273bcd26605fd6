from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from router.config import Document, read
from router.errors import ConfigError
from router.events import JsonObject
from tests.config.offered import check

#: Each key is a handler, each value the JSON Schema of its options; None takes any.
HANDLERS: dict[str, JsonObject | None] = {
    "echo": None,
    "ledger": {
        "type": "object",
        "properties": {
            "account": {"type": "string", "minLength": 3, "pattern": "^[a-z]+$"},
            "port": {"type": "integer", "minimum": 1},
            "mode": {"enum": ["fast", "safe"]},
            "target": {"anyOf": [{"type": "string"}, {"type": "object", "required": ["host"]}]},
            "tags": {"contains": {"type": "string"}},
        },
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
    },
}


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Document]:
    """Write a routes.yaml and read it."""

    def load(text: str | bytes, environ: Mapping[str, str] | None = None) -> Document:
        path = tmp_path / "routes.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read(path, environ or {})

    return load


@pytest.fixture
def lines(load: Callable[..., Document]) -> Callable[..., list[str]]:
    """Return everything that is wrong with a text, as `line:column: message`."""

    def lines(text: str | bytes, environ: Mapping[str, str] | None = None) -> list[str]:
        try:
            document = load(text, environ)
            check(document, HANDLERS)
            document.config()
        except ConfigError as error:
            return [f"{problem.line}:{problem.column}: {problem.message}" for problem in error.problems]
        return []

    return lines
