from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from jsonschema import Draft202012Validator
from router_autoreply import Autoreply, Options, register_handlers

from router.config import read
from router.options import describe

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("name: ")[1].split()[0])
def test_examples_of_the_readme_are_routes_without_problems(block: str, tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(block, "utf-8")
    described = describe(Options)

    document = read(path, {})
    document.check_handlers({"autoreply": described.schema})

    assert [str(problem) for problem in document.problems] == []
    for route in document.config().routes:
        Autoreply(described.make(route.options))


def test_the_readme_has_every_option() -> None:
    schema = describe(Options).schema or {}
    text = README.read_text("utf-8")
    options = {name for each in (schema, *schema["$defs"].values()) for name in each["properties"]}

    assert [name for name in sorted(options) if f"`{name}`" not in text] == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", "nothing to answer with; expected reply, menu or rules"),
        ("{reply: ''}", "$.reply"),
        ("{reply: '{event.txt}'}", "reply: {event.txt} in a template: did you mean {event.text}?"),
        ("{reply: '{match.x}'}", "reply: {match.x} in a template"),
        ("{reply: a, menu: m}", "expected one of reply, menu; found both"),
        ("{menu: m}", "there is no menu 'm'; there are no menus"),
        ("{reply: a, relpy: b}", "relpy"),
        ("{reply: a, cooldown: soon}", "$.cooldown"),
        ("{rules: [{reply: a}]}", "a rule has one of keywords, regex, command; found none - at `$.rules[0]`"),
        ("{rules: [{keywords: [a], regex: a, reply: a}]}", "found keywords and regex - at `$.rules[0]`"),
        ("{rules: [{keywords: [a]}]}", "a rule has one of reply, menu; found none"),
        ("{rules: [{keywords: [], reply: a}]}", "$.rules[0].keywords"),
        ("{rules: [{keywords: [a], menu: x}]}", "there is no menu 'x'; there are no menus"),
        (
            "{rules: [{keywords: [a], aliases: [b], reply: a}]}",
            "aliases and arguments are for a rule with command",
        ),
        (
            "{rules: [{regex: '(?P<a>x)', reply: '{match.b}'}]}",
            "reply: {match.b} in a template: did you mean {match.a}?",
        ),
        (
            "{rules: [{regex: '(', reply: a}]}",
            "regex: missing ): (; the syntax is that of RE2 - at `$.rules[0]`",
        ),
        ("{rules: [{command: /a, arguments: [b], reply: '{argument.c}'}]}", "did you mean {argument.b}?"),
        ("{rules: [{command: /a, arguments: ['b c'], reply: a}]}", "$.rules[0].arguments[0]"),
        ("{menu: m, menus: {m: {text: '{x}', choices: [{name: A, reply: a}]}}}", "text: {x} in a template"),
        ("{menu: m, menus: {m: {text: a, choices: []}}}", "$.menus.m.choices"),
        (
            "{menu: m, menus: {m: {text: a, choices: [{name: A}]}}}",
            "choice 'A' has one of reply, menu; found none",
        ),
        (
            "{menu: m, menus: {m: {text: a, choices: [{name: A, menu: n}]}}}",
            "there is no menu 'n'; menus has m",
        ),
        ("{reply: a, dialog: {timeout: 0s}}", "timeout: expected more than 0s - at `$.dialog`"),
        ("{reply: a, dialog: {reminder: '{x}'}}", "reminder: {x} in a template"),
        (
            "{reply: a, hours: {zone: X, open: {}}}",
            "zone: there is no time zone 'X'; expected one such as Europe/Berlin - at `$.hours`",
        ),
        ("{hours: {zone: UTC, open: {}}}", "nothing to answer with"),
    ],
)
def test_options_without_meaning_are_refused(
    options: Callable[[str], Options], text: str, problem: str
) -> None:
    with pytest.raises((ValueError, msgspec.ValidationError)) as caught:
        options(text)

    assert problem in str(caught.value)


def test_the_handler_is_registered_with_its_options() -> None:
    registered: list[object] = []

    def register(name: str, handler: object, *, options: object = None) -> None:
        registered.extend([name, handler, options])

    register_handlers(register)

    assert registered == ["autoreply", Autoreply, Options]
    Draft202012Validator.check_schema(describe(Options).schema or {})
