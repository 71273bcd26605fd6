"""Bad files → the exact lines that a person reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from router.config import Document, read
from router.errors import ConfigError
from router.options import describe
from tests.config.offered import check

Load = Callable[..., Document]
Lines = Callable[..., list[str]]

ENVIRON = {"NET": "planted-value", "NUMBER": "79001234567", "RANGE": "203.0.113.5/24"}
ROUTE = "routes:\n  - name: orders\n    type: x\n    handler: echo\n"


def _cases() -> list[tuple[str, list[str]]]:
    """Files, each with the lines that it earns: ``=> line:column: message``; ``----`` stands between two."""
    path = Path(__file__).parents[1] / "data" / "config_problems.txt"
    cases = []
    for block in path.read_text(encoding="utf-8").split("----\n"):
        text, *lines = block.removesuffix("\n").split("\n=> ")
        cases.append((text, lines))
    return cases


@pytest.mark.parametrize(
    ("text", "expected"), _cases(), ids=lambda value: value[0] if isinstance(value, list) else ""
)
def test_each_mistake_is_told_once_at_its_place(lines: Lines, text: str, expected: list[str]) -> None:
    assert lines(text, ENVIRON) == expected


def test_options_that_are_missing_are_checked_too(load: Load) -> None:
    document = load(ROUTE)
    check(document, {"echo": {"required": ["account"]}})
    assert [str(problem) for problem in document.problems] == [
        f"{document.path}:2:5: route 'orders': options: missing key 'account'"
    ]


@pytest.mark.parametrize("schema", [{"type": "strange"}, {"$ref": "#/$defs/gone"}, {"pattern": "("}])
def test_a_plugin_with_a_bad_schema_is_a_problem(load: Load, schema: dict[str, str]) -> None:
    document = load(ROUTE)
    check(document, {"echo": schema})
    assert [str(problem) for problem in document.problems] == [
        f"{document.path}:4:14: handler 'echo' has registered options that are no valid JSON Schema"
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_schema_cannot_make_the_router_fetch_another(load: Load, tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text("{}")
    document = load(ROUTE)
    check(document, {"echo": {"$ref": (tmp_path / "schema.json").as_uri()}})
    assert [problem.message for problem in document.problems] == [
        "handler 'echo' has registered options that are no valid JSON Schema"
    ]


def test_a_byte_order_mark_and_windows_line_ends_move_no_place(lines: Lines) -> None:
    assert lines("\ufeffrotes: []\r\n\r\nversion: 2\r\n") == [
        "1:1: unknown key 'rotes', did you mean 'routes'?",
        "3:10: version: expected 1, found 2",
    ]


def test_retention_may_be_as_long_as_the_window(lines: Lines) -> None:
    assert lines("{inbox: {retention: 2d}, dedup: {window: 48h}}") == []


def test_no_handler_at_all_is_said_so(load: Load) -> None:
    document = load(ROUTE)
    check(document, {})
    assert [problem.message for problem in document.problems] == [
        "route 'orders' names handler 'echo'; no handler is installed"
    ]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "0:0: the file is empty: expected at least 'routes'"),
        (b"# only a comment\n", "0:0: the file is empty: expected at least 'routes'"),
        (b"---\n", "0:0: the file is empty: expected at least 'routes'"),
        (b"- a\n- b", "1:1: expected a mapping with keys such as 'routes'"),
        (b"text", "1:1: expected a mapping with keys such as 'routes'"),
        (b"a: b\nc: \xff", "2:4: the file is not UTF-8: save it as UTF-8"),
        ("version: 1".encode("utf-16"), "1:1: the file is not UTF-8: save it as UTF-8"),
        (b"routes: [", "1:10: not valid YAML: expected the node content, but found '<stream end>'"),
    ],
    ids=["empty", "comment", "marker", "list", "text", "latin-1", "utf-16", "syntax"],
)
def test_a_file_of_which_nothing_can_be_read_is_refused_at_once(
    load: Load, content: bytes, line: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        load(content)
    (problem,) = raised.value.problems
    assert f"{problem.line}:{problem.column}: {problem.message}" == line


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path, message in [
        (tmp_path / "routes.yaml", "there is no such file"),
        (tmp_path, "the file cannot be read: Is a directory"),
        (tmp_path / "a\0b", "there is no such file"),
    ]:
        with pytest.raises(ConfigError) as raised:
            read(path, {})
        assert str(raised.value) == f"{path}: {message}"


def test_problems_name_the_file_as_the_user_named_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("routes.yaml").write_text("rotes: []")
    with pytest.raises(ConfigError) as raised:
        read(Path("routes.yaml"), {}).config()
    assert str(raised.value) == "routes.yaml:1:1: unknown key 'rotes', did you mean 'routes'?"


@dataclass
class _Rule:
    word: str

    def __post_init__(self) -> None:
        if self.word == "bad":
            raise ValueError("no such word")


@dataclass
class _Options:
    rules: list[_Rule]


def test_what_a_dataclass_refuses_is_told_at_its_line(load: Load) -> None:
    document = load(
        "routes:\n  - name: a\n    type: x\n    handler: echo\n    options:\n      rules:\n"
        "        - {word: good}\n        - {word: bad}\n"
    )
    document.check_handlers({"echo": describe(_Options)})
    assert [str(problem) for problem in document.problems] == [
        f"{document.path}:8:11: route 'a': options.rules: no such word"
    ]
