from __future__ import annotations

import pytest
from router_autoreply import patterns
from router_autoreply.said import Said
from router_autoreply.texts import folded


def said(text: str) -> Said:
    return Said(text.strip(), folded(text), "1@c.us")


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("price", "PRICE?"),
        ("price", "what price is it"),
        ("цена", "Какая ЦЕНА?"),
        ("ЦЕНА", "цена"),
        ("straße", "STRASSE"),
        ("é", "e\u0301"),
        ("opening hours", "your Opening \n hours please"),
        ("c++", "do you know C++?"),
        ("24/7", "open 24/7"),
        ("👍", "ok👍🏽"),
        ("हिन्दी", "क्या हिन्दी में"),
        ("-", "a-b"),
        ("don't", "i DON'T know"),
        ("a.b", "a.b"),
        ("\\", "a \\ b"),
    ],
    ids=ascii,
)
def test_a_keyword_is_found_whatever_its_case(word: str, text: str) -> None:
    assert patterns.keywords(["nothing", word])(said(text)) == {}


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("price", "priceless"),
        ("price", "caprice"),
        ("price", "price_list"),
        ("цен", "цена"),
        ("ен", "цена"),
        ("हिन", "हिन्दी"),
        ("a.b", "axb"),
        ("opening hours", "openinghours"),
        ("stop", "s t o p"),
    ],
    ids=ascii,
)
def test_a_keyword_is_a_whole_word(word: str, text: str) -> None:
    assert patterns.keywords([word])(said(text)) is None


def test_groups_of_a_regex_are_values() -> None:
    find, names = patterns.regex(r"(?i)заказ\s+(?P<number>\d+)(?: к (?P<day>\pL+))?")

    assert names == ["number", "day"]
    assert find(said("Где ЗАКАЗ 17 к среде?")) == {"match.number": "17", "match.day": "среде"}
    assert find(said("заказ 17")) == {"match.number": "17", "match.day": ""}
    assert find(said("заказ")) is None


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|aa)+$", r"(.*a){20}x", r"^(([a-z])+.)+[A-Z]([a-z])+$"])
@pytest.mark.timeout(5)
def test_no_pattern_hangs(pattern: str) -> None:
    find, _ = patterns.regex(pattern)

    assert find(said("a" * 20_000 + "!")) is None


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(", r"regex: missing ): (; the syntax is that of RE2"),
        (r"(a)\1", "the syntax is that of RE2"),
        (r"(?=a)", "the syntax is that of RE2"),
        (r"((a{100}){100}){100}", "the syntax is that of RE2"),
        (r"\bsale\b", r"regex: \b knows English letters only; use keywords for whole words"),
        (r"(\w+)", r"regex: \w knows English letters only; write [\pL\pM\pN_]"),
        (r"a\\\W", r"regex: \W knows English letters only; write [^\pL\pM\pN_]"),
    ],
)
def test_a_regex_without_meaning_is_refused(pattern: str, problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        patterns.regex(pattern)

    assert problem in str(caught.value)


def test_a_backslash_before_a_letter_is_allowed() -> None:
    find, _ = patterns.regex(r"a\\b")

    assert find(said(r"a\b")) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/order tea 3 with milk", {"argument.item": "tea", "argument.amount": "3 with milk"}),
        ("  /ORDER\ttea  ", {"argument.item": "tea"}),
        ("ЗАКАЗ чай 2", {"argument.item": "чай", "argument.amount": "2"}),
        ("/order", {}),
        ("/orders tea", None),
        ("an /order", None),
    ],
)
def test_a_command_has_the_words_behind_it_as_arguments(text: str, expected: dict[str, str] | None) -> None:
    assert patterns.command(["/order", "заказ"], ["item", "amount"])(said(text)) == expected


def test_one_argument_takes_all_and_none_takes_none() -> None:
    assert patterns.command(["/say"], ["all"])(said("/say a  b\nc")) == {"argument.all": "a  b\nc"}
    assert patterns.command(["/help"], [])(said("/help me please")) == {}


@pytest.mark.parametrize(
    ("words", "arguments", "problem"),
    [
        (["/order tea"], [], "a command is one word, found '/order tea'"),
        (["/order", " "], [], "a command is one word, found ' '"),
        (["/order"], ["a", "a"], "arguments: a name occurs twice in a, a"),
    ],
)
def test_a_command_without_meaning_is_refused(words: list[str], arguments: list[str], problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        patterns.command(words, arguments)

    assert str(caught.value) == problem


def test_a_blank_keyword_is_refused() -> None:
    with pytest.raises(ValueError, match="keywords: one is blank"):
        patterns.keywords(["a", " "])


@pytest.mark.timeout(5)
def test_there_may_be_many_keywords() -> None:
    words = [f"слово{number}" for number in range(5000)]

    assert patterns.keywords(words)(said("и слово4999!")) == {}
    with pytest.raises(ValueError, match="keywords: pattern too large"):
        patterns.keywords(["x" * 1_000_000])
