from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from router_autoreply import Options

from router.errors import ConfigError
from router.options import describe
from router.testing import StartRouter

#: Of conftest.py: options → a talk.
Start = Callable[[str], Awaitable[Any]]

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("name: ")[1].split()[0])
async def test_examples_of_the_readme_are_routes_without_problems(
    block: str, router_harness: StartRouter
) -> None:
    router = await router_harness(block)

    assert router.alerts == []


def test_the_readme_has_every_option() -> None:
    schema = describe(Options).schema or {}
    text = README.read_text("utf-8")
    options = {name for each in (schema, *schema["$defs"].values()) for name in each["properties"]}

    assert [name for name in sorted(options) if f"`{name}`" not in text] == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", "nothing to answer with; expected reply, menu or rules"),
        ("{reply: ''}", "options.reply: expected text, found an empty text"),
        ("{reply: '{event.txt}'}", "reply: {event.txt} in a template: did you mean {event.text}?"),
        ("{reply: '{match.x}'}", "reply: {match.x} in a template"),
        ("{reply: a, menu: m}", "expected one of reply, menu; found both"),
        ("{menu: m}", "there is no menu 'm'; there are no menus"),
        ("{reply: a, relpy: b}", "relpy"),
        ("{reply: a, cooldown: soon}", "options.cooldown: bad duration"),
        ("{rules: [{reply: a}]}", "a rule has one of keywords, regex, command; found none"),
        ("{rules: [{keywords: [a], regex: a, reply: a}]}", "found keywords and regex"),
        ("{rules: [{keywords: [a]}]}", "a rule has one of reply, menu; found none"),
        ("{rules: [{keywords: [], reply: a}]}", "options.rules.keywords: expected at least 1 entry"),
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
            "regex: missing ): (; the syntax is that of RE2",
        ),
        ("{rules: [{command: /a, arguments: [b], reply: '{argument.c}'}]}", "did you mean {argument.b}?"),
        (
            "{rules: [{command: /a, arguments: ['b c'], reply: a}]}",
            "options.rules.arguments: the text does not fit the pattern",
        ),
        ("{menu: m, menus: {m: {text: '{x}', choices: [{name: A, reply: a}]}}}", "text: {x} in a template"),
        (
            "{menu: m, menus: {m: {text: a, choices: []}}}",
            "options.menus.m.choices: expected at least 1",
        ),
        (
            "{menu: m, menus: {m: {text: a, choices: [{name: A}]}}}",
            "choice 'A' has one of reply, menu; found none",
        ),
        (
            "{menu: m, menus: {m: {text: a, choices: [{name: A, menu: n}]}}}",
            "there is no menu 'n'; menus has m",
        ),
        ("{reply: a, dialog: {timeout: 0s}}", "timeout: expected more than 0s"),
        ("{reply: a, dialog: {reminder: '{x}'}}", "reminder: {x} in a template"),
        (
            "{reply: a, hours: {zone: X, open: {}}}",
            "zone: there is no time zone 'X'; expected one such as Europe/Berlin",
        ),
        ("{hours: {zone: UTC, open: {}}}", "nothing to answer with"),
    ],
)
async def test_options_without_meaning_are_refused(talk: Start, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await talk(text)

    assert problem in str(caught.value)


async def test_a_problem_is_told_with_its_line(talk: Start) -> None:
    with pytest.raises(ConfigError) as caught:
        await talk("reply: a\nrules:\n  - {keywords: [a], reply: '{event.nam}'}")

    place, _, problem = str(caught.value).partition(": route 'r': ")
    assert place == "routes.yaml:8:11"
    assert problem == "options.rules: rule a: reply: {event.nam} in a template: did you mean {event.chat}?"
