from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

#: Of conftest.py: options → a talk.
Start = Callable[[str], Any]

GROUP = "120363043968066561@g.us"

RULES = """
rules:
  - {keywords: [price, prices], reply: Ten., cooldown: 10m}
  - {regex: 'no\\. (?P<number>[0-9]+)', reply: "Order {match.number}, {event.sender_name|friend}."}
  - command: /order
    aliases: [/buy]
    arguments: [item, amount]
    reply: "{argument.amount|1} x {argument.item|?}"
  - {keywords: [price], reply: Never said.}
reply: What?
"""

MENUS = """
rules:
  - {keywords: [menu], menu: main}
  - {keywords: [price], reply: Ten.}
menus:
  main:
    text: Hi {event.sender_name|there}!
    choices: [{name: Hours, reply: 9 to 18.}, {name: Delivery, menu: delivery}]
  delivery:
    text: Where?
    choices:
      - {name: Town, reply: Tomorrow.}
      - {name: Elsewhere, reply: In three days.}
      - {name: Start, menu: main}
"""
MAIN = "Hi Anna!\n\n1. Hours\n2. Delivery"
DELIVERY = "Where?\n\n1. Town\n2. Elsewhere\n3. Start\n0. Back"
AGAIN = "Please answer with one of the numbers."


async def test_the_short_form_answers_everything(talk: Start) -> None:
    chat = talk('{reply: "Got it, {event.sender_name}"}')

    assert await chat.say("anything", senderName="Anna") == "Got it, Anna"


# Rules


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("PRICES please", "Ten."),
        ("my order no. 17", "Order 17, Anna."),
        ("/Buy tea 3 cups", "3 cups x tea"),
        ("/order", "1 x ?"),
        ("priceless", "What?"),
        ("the price of no. 17", "Ten."),
    ],
)
async def test_the_first_rule_that_fits_answers(talk: Start, text: str, reply: str) -> None:
    assert await talk(RULES).say(text, senderName="Anna") == reply


async def test_without_a_default_nothing_is_said(talk: Start) -> None:
    assert await talk("rules: [{keywords: [price], reply: Ten.}]").say("hello") is None


async def test_what_a_person_writes_is_no_template(talk: Start) -> None:
    chat = talk('reply: "<{event.text}> {event.sender_name}"')

    assert await chat.say("{event.sender_name} {{ {0.__class__}", senderName="{event.text}") == (
        "<{event.sender_name} {{ {0.__class__}> {event.text}"
    )


async def test_replies_quote_where_they_are_to(talk: Start) -> None:
    chat = talk("{quote: true, reply: A, rules: [{keywords: [b], reply: B, quote: false}]}")

    await chat.say("a")
    await chat.say("b")

    assert chat.sent == [("A", True), ("B", False)]


async def test_an_empty_reply_is_not_sent(talk: Start) -> None:
    assert await talk('reply: " {event.sender_name} "').say("hello", senderName="") is None


@pytest.mark.parametrize(
    ("sample", "longest"), [("tg-text-user", 4096), ("max-text-hidden-phone", 4000), ("wa-text-waba", 20_000)]
)
async def test_a_reply_is_as_long_as_the_messenger_takes(talk: Start, sample: str, longest: int) -> None:
    chat = talk('reply: "{event.text}{event.text}"')

    reply = await chat.say("x" * 30_000, sample=sample)

    assert reply == "x" * (longest - 1) + "…"


async def test_half_a_surrogate_pair_can_be_answered(talk: Start) -> None:
    chat = talk('{reply: "{event.text} {event.sender_name}", rules: [{regex: "^x", reply: x}]}')

    assert await chat.say("a\ud800", senderName="\udc00") == "a? ?"


# Cooldown


async def test_a_rule_rests_in_its_chat_while_its_cooldown_runs(talk: Start) -> None:
    chat = talk(RULES)
    assert await chat.say("price") == "Ten."

    assert await chat.say("price") is None
    assert await chat.say("price", chat="79009999999@c.us") == "Ten."
    assert await chat.say("/buy tea") == "1 x tea"
    chat.advance(minutes=9, seconds=59)
    assert await chat.say("price") is None
    chat.advance(seconds=1)
    assert await chat.say("price") == "Ten."


async def test_a_cooldown_of_all_may_be_other_for_a_rule(talk: Start) -> None:
    chat = talk("{cooldown: 1h, reply: A, rules: [{keywords: [b], reply: B, cooldown: 0s}]}")

    assert [await chat.say(text) for text in ("a", "b", "a", "b")] == ["A", "B", None, "B"]


async def test_a_group_has_one_cooldown(talk: Start) -> None:
    chat = talk("{groups: true, cooldown: 1h, reply: A}")

    assert await chat.say("a", chat=GROUP, sender="1@c.us") == "A"
    assert await chat.say("a", chat=GROUP, sender="2@c.us") is None


# Menus


async def test_a_menu_leads_to_a_reply(talk: Start) -> None:
    chat = talk(MENUS)

    assert await chat.say("menu", senderName="Anna") == MAIN
    assert await chat.say("2") == DELIVERY
    assert await chat.say("1") == "Tomorrow."
    assert await chat.say("1") is None


@pytest.mark.parametrize(
    "answer", ["2", " 2. ", "2)", "(2)", "２", "2\ufe0f\u20e3", "DELIVERY", "2. Delivery", "delivery!"]
)
async def test_a_choice_may_be_written_in_many_ways(talk: Start, answer: str) -> None:
    chat = talk(MENUS)
    await chat.say("menu")

    assert await chat.say(answer) == DELIVERY


async def test_zero_and_back_lead_back(talk: Start) -> None:
    chat = talk(MENUS)
    await chat.say("menu")

    for back in ("0", "back"):
        assert await chat.say("2") == DELIVERY
        assert await chat.say(back, senderName="Anna") == MAIN


async def test_there_is_no_way_back_from_the_first_menu(talk: Start) -> None:
    chat = talk(MENUS)
    await chat.say("menu")

    assert await chat.say("0") == f"{AGAIN}\n\n1. Hours\n2. Delivery"


async def test_a_menu_that_was_open_already_is_the_first_again(talk: Start) -> None:
    chat = talk(MENUS)
    for text in ("menu", "2"):
        await chat.say(text)

    assert await chat.say("3", senderName="Anna") == MAIN


async def test_an_answer_that_is_no_choice_gets_a_reminder(talk: Start) -> None:
    chat = talk(MENUS)
    for text in ("menu", "2"):
        await chat.say(text)

    assert await chat.say("7") == f"{AGAIN}\n\n1. Town\n2. Elsewhere\n3. Start\n0. Back"
    assert await chat.say("1") == "Tomorrow."


async def test_a_rule_answers_while_a_menu_is_open(talk: Start) -> None:
    chat = talk(MENUS)
    await chat.say("menu")

    assert await chat.say("what price") == "Ten."
    assert await chat.say("1") == "9 to 18."


async def test_a_menu_closes_when_nobody_answers(talk: Start) -> None:
    chat = talk(f"{MENUS}\ndialog: {{timeout: 5m}}")
    await chat.say("menu")
    chat.advance(minutes=4)
    assert await chat.say("2") == DELIVERY
    chat.advance(minutes=4)
    assert await chat.say("0") is not None

    chat.advance(minutes=5)

    assert await chat.say("2") is None


async def test_in_a_group_each_person_has_menus_of_their_own(talk: Start) -> None:
    chat = talk(f"{MENUS}\ngroups: true")
    await chat.say("menu", chat=GROUP, sender="1@c.us")

    assert await chat.say("1", chat=GROUP, sender="2@c.us") is None
    assert await chat.say("1", chat=GROUP, sender="1@c.us") == "9 to 18."


async def test_words_of_the_dialog_are_options(talk: Start) -> None:
    chat = talk(f"{MENUS}\ndialog: {{back: Назад, reminder: 'Номер, {{event.sender_name}}?'}}")
    for text in ("menu", "2"):
        await chat.say(text)

    assert (
        await chat.say("x", senderName="Анна") == "Номер, Анна?\n\n1. Town\n2. Elsewhere\n3. Start\n0. Назад"
    )
    assert await chat.say("назад", senderName="Anna") == MAIN


async def test_the_default_may_be_a_menu(talk: Start) -> None:
    chat = talk("{menu: m, menus: {m: {text: Hi, choices: [{name: A, reply: a}]}}}")

    assert [await chat.say(text) for text in ("hello", "1", "1")] == ["Hi\n\n1. A", "a", "Hi\n\n1. A"]


async def test_a_number_is_a_number_before_it_is_a_name(talk: Start) -> None:
    menus = "{m: {text: How many, choices: [{name: '2', reply: two}, {name: '1', reply: one}]}}"
    chat = talk(f"{{menu: m, menus: {menus}}}")

    await chat.say("hello")

    assert await chat.say("2") == "one"


async def test_of_two_choices_that_are_alike_the_first_is_taken(talk: Start) -> None:
    chat = talk("{menu: m, menus: {m: {text: Hi, choices: [{name: A, reply: one}, {name: a, reply: two}]}}}")

    await chat.say("hello")

    assert await chat.say("a") == "one"


# Votes


async def test_a_vote_is_an_answer_to_a_menu_and_to_a_rule(talk: Start) -> None:
    chat = talk(MENUS)

    assert await chat.vote("Menu") is not None
    assert await chat.vote("Delivery") == DELIVERY
    assert await chat.vote("Price") == "Ten."


async def test_a_vote_that_fits_nothing_gets_no_reply(talk: Start) -> None:
    chat = talk(f"{MENUS}\nreply: What?")
    assert await chat.vote("Red") is None
    assert await chat.vote("Menu") is not None

    assert await chat.vote("Red") is None


async def test_a_vote_outside_the_hours_gets_no_reply(talk: Start) -> None:
    assert await talk("{hours: {zone: UTC, open: {mon: []}, reply: Closed.}}").vote("Red") is None


async def test_what_is_withheld_opens_no_menu(talk: Start) -> None:
    chat = talk(MENUS)
    chat.withheld = True
    await chat.say("menu")
    chat.withheld = False

    assert await chat.say("1") is None


async def test_a_menu_that_is_gone_is_not_open(talk: Start) -> None:
    before = talk(MENUS)
    for text in ("menu", "2"):
        await before.say(text)
    after = talk("{reply: A, menus: {main: {text: Hi, choices: [{name: A, reply: a}]}}}")
    after.values = before.values

    assert await after.say("1") == "A"


# Hours

HOURS = """
hours:
  zone: Europe/Berlin
  open: {mon-fri: [09:00-18:00]}
  holidays: [2026-11-25]
  reply: Closed.
  cooldown: 20h
reply: Open.
"""


async def test_outside_the_hours_there_is_another_reply(talk: Start) -> None:
    chat = talk(HOURS)
    assert await chat.say("now") == "Open."

    chat.advance(hours=5)  # 18:00 in Berlin
    assert await chat.say("now") == "Closed."
    chat.advance(hours=15)  # on a holiday
    assert await chat.say("now") is None
    chat.advance(hours=5)
    assert await chat.say("now") == "Closed."
    chat.advance(hours=19)
    assert await chat.say("now") == "Open."


async def test_outside_the_hours_there_may_be_no_reply(talk: Start) -> None:
    chat = talk(
        "{hours: {zone: UTC, open: {mon: [09:00-18:00]}}, rules: [{keywords: [a], reply: A}], reply: Open.}"
    )

    assert await chat.say("a") is None


# Attempts


@pytest.mark.parametrize("steps", range(4))
async def test_an_attempt_that_is_repeated_does_each_thing_once(talk: Start, steps: int) -> None:
    chat = talk(f"{MENUS}\ncooldown: 1m")
    for text in ("menu", "2", "1"):
        chat.steps = steps
        with suppress(Exception):
            await chat.say(text, senderName="Anna")
        chat.steps = None
        await chat.again()
        await chat.again()

    assert [text for text, _ in chat.sent] == [MAIN, DELIVERY, "Tomorrow."]
    assert await chat.say("1") is None
