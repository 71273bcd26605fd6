"""Whatever the file holds, reading it gives settings or a ConfigError, one line for each problem."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.config import Config, read, routes_schema
from router.errors import ConfigError, ConfigProblem
from tests.config.offered import check

ENVIRON = {"A": "7", "B": "two words", "C": ""}
HANDLERS = {
    "echo": None,
    "ledger": {"properties": {"port": {"type": "integer"}}, "additionalProperties": False},
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("anything") / "routes.yaml"


def outcome(path: Path, content: str | bytes) -> Config | tuple[ConfigProblem, ...]:
    path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    try:
        document = read(path, ENVIRON)
        check(document, HANDLERS)
        return document.config()
    except ConfigError as error:
        problems = error.problems
    places = [(problem.line, problem.column) for problem in problems]
    assert places == sorted(places)
    assert len(set(problems)) == len(problems)
    assert not [problem for problem in problems if not problem.message or not str(problem).isprintable()]
    return problems


@given(st.text() | st.binary() | st.text("ab:-?#&*!|>'\"%@`[]{},. \n\t~<$\\\ufeff\x85\u2028"))
def test_any_text_is_read_or_refused(path: Path, content: str | bytes) -> None:
    outcome(path, content)


def _names(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for value in schema.values():
            yield from _names(value)


KEYS = st.sampled_from(sorted(set(_names(routes_schema())))) | st.text(max_size=4)
WORDS = [
    *(
        "*",
        "echo",
        "ledger",
        "5m",
        "2MiB",
        "green-api",
        "10.0.0.0/8",
        "memory://",
        "sqlite:///x",
        "polling",
        "chat",
    ),
    *(
        "${A}",
        "${B}",
        "${C}",
        "${GONE}",
        "${",
        "$${",
        "${file:x}",
        "${A:-}",
        "/hook",
        "prefix",
        "exists",
        "yes",
    ),
]
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=30,
)


@given(st.dictionaries(KEYS, VALUES, max_size=8))
def test_any_structure_is_read_or_refused(path: Path, data: dict[str, Any]) -> None:
    outcome(path, json.dumps(data, ensure_ascii=False))


ROUTE = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a", "b"]),
        "type": st.just("*"),
        "handler": st.sampled_from(["echo", "ledger"]),
    },
    optional={"when": VALUES, "options": VALUES, "retry": VALUES, "timeout": VALUES, "tests": VALUES},
)


@given(
    st.fixed_dictionaries(
        {"routes": st.lists(ROUTE, max_size=3)}, optional={"webhook": VALUES, "inbox": VALUES}
    )
)
def test_any_route_is_read_or_refused(path: Path, data: dict[str, Any]) -> None:
    outcome(path, json.dumps(data, ensure_ascii=False))


PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "routes-yaml.md").read_text(encoding="utf-8")
EXAMPLE = re.sub(r" +#.*", "", PAGE.partition("```yaml\n")[2].partition("```")[0])


@given(
    st.integers(0, len(EXAMPLE)),
    st.integers(0, 12),
    st.sampled_from(["", " ", "\n", ":", "-", "x", "[", "&a ", "*a"]),
)
def test_an_example_with_one_slip_is_read_or_refused(
    path: Path, start: int, length: int, instead: str
) -> None:
    outcome(path, EXAMPLE[:start] + instead + EXAMPLE[start + length :])
