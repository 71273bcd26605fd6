from __future__ import annotations

import pytest

from router.cli.output import show_facts, show_json, show_rows, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        ("Привет 👋", "Привет 👋"),
        (None, "-"),
        (5, "5"),
        (True, "true"),
        (["a", 1], '["a",1]'),
        ("two\nlines", '"two\\nlines"'),
        ("\x1b[2J", '"\\u001b[2J"'),
        ("\x9b2J\x7f", '"\\u009b2J\\u007f"'),
        (["\x9b2J"], '["\\u009b2J"]'),
        ("\udcff", '"\N{REPLACEMENT CHARACTER}"'),
    ],
    ids=repr,
)
def test_a_value_is_one_line_that_steers_no_terminal(value: object, text: str) -> None:
    assert shown(value) == text


def test_columns_of_a_file_are_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([{"a": "x" * 500, "b": "[red]no markup[/red]"}], ["a", "b"], "nothing")
    assert capsys.readouterr().out.splitlines()[1].split("  ") == ["x" * 500, "[red]no markup[/red]"]


def test_without_rows_there_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([], ["a"], "nothing")
    assert capsys.readouterr().out == "nothing\n"


def test_facts_are_lined_up(capsys: pytest.CaptureFixture[str]) -> None:
    show_facts({"id": 5, "received_at": "now"})
    assert capsys.readouterr().out == "id           5\nreceived_at  now\n"


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    show_json([{"a": "б"}])
    assert capsys.readouterr().out == '[\n  {\n    "a": "б"\n  }\n]\n'
