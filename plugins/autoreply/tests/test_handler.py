from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from router_autoreply import Autoreply, Options
from router_autoreply.answers import Answers
from router_autoreply.said import Said

from router import Context, Event, RegisterHandler, RetryLater, hookimpl
from router.errors import RateLimited

#: Of conftest.py: options → a talk.
Start = Callable[..., Awaitable[Any]]

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
    chat = await talk('{reply: "Got it, {event.sender_name}"}')

    assert await chat.say("anything", sender_name="Anna") == "Got it, Anna"


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
    assert await (await talk(RULES)).say(text, sender_name="Anna") == reply


async def test_without_a_default_nothing_is_said(talk: Start) -> None:
    assert await (await talk("rules: [{keywords: [price], reply: Ten.}]")).say("hello") is None


async def test_what_a_person_writes_is_no_template(talk: Start) -> None:
    chat = await talk('reply: "<{event.text}> {event.sender_name}"')

    assert await chat.say("{event.sender_name} {{ {0.__class__}", sender_name="{event.text}") == (
        "<{event.sender_name} {{ {0.__class__}> {event.text}"
    )


async def test_replies_quote_where_they_are_to(talk: Start) -> None:
    chat = await talk("{quote: true, reply: A, rules: [{keywords: [b], reply: B, quote: false}]}")

    await chat.say("a")
    await chat.say("b")

    quoted = ["quotedMessageId" in sent.arguments for sent in chat.router.api.sent]
    assert (chat.router.replies, quoted) == (["A", "B"], [True, False])


async def test_an_empty_reply_is_not_sent(talk: Start) -> None:
    chat = await talk('reply: " {event.sender_name} "')

    assert await chat.say("hello", sender_name=None) is None
    chat.router.assert_done(count=1)


@pytest.mark.parametrize(("messenger", "longest"), [("telegram", 4096), ("max", 4000), ("whatsapp", 20_000)])
async def test_a_reply_is_as_long_as_the_messenger_takes(talk: Start, messenger: str, longest: int) -> None:
    chat = await talk('reply: "{event.text}{event.text}"')

    reply = await chat.say("x" * 30_000, messenger=messenger)

    assert reply == "x" * (longest - 1) + "…"


# Cooldown


async def test_a_rule_rests_in_its_chat_while_its_cooldown_runs(talk: Start) -> None:
    chat = await talk(RULES)
    assert await chat.say("price") == "Ten."

    assert await chat.say("price") is None
    assert await chat.say("price", chat="79009999999@c.us") == "Ten."
    assert await chat.say("/buy tea") == "1 x tea"
    await chat.router.advance("9m59s")
    assert await chat.say("price") is None
    await chat.router.advance("1s")
    assert await chat.say("price") == "Ten."


async def test_a_cooldown_of_all_may_be_other_for_a_rule(talk: Start) -> None:
    chat = await talk("{cooldown: 1h, reply: A, rules: [{keywords: [b], reply: B, cooldown: 0s}]}")

    assert [await chat.say(text) for text in ("a", "b", "a", "b")] == ["A", "B", None, "B"]


async def test_a_group_has_one_cooldown(talk: Start) -> None:
    chat = await talk("{groups: true, cooldown: 1h, reply: A}")

    assert await chat.say("a", chat=GROUP, sender="1@c.us") == "A"
    assert await chat.say("a", chat=GROUP, sender="2@c.us") is None


# Menus


async def test_a_menu_leads_to_a_reply(talk: Start) -> None:
    chat = await talk(MENUS)

    assert await chat.say("menu", sender_name="Anna") == MAIN
    assert await chat.say("2") == DELIVERY
    assert await chat.say("1") == "Tomorrow."
    assert await chat.say("1") is None


@pytest.mark.parametrize(
    "answer", ["2", " 2. ", "2)", "(2)", "２", "2\ufe0f\u20e3", "DELIVERY", "2. Delivery", "delivery!"]
)
async def test_a_choice_may_be_written_in_many_ways(talk: Start, answer: str) -> None:
    chat = await talk(MENUS)
    await chat.say("menu")

    assert await chat.say(answer) == DELIVERY


async def test_zero_and_back_lead_back(talk: Start) -> None:
    chat = await talk(MENUS)
    await chat.say("menu")

    for back in ("0", "back"):
        assert await chat.say("2") == DELIVERY
        assert await chat.say(back, sender_name="Anna") == MAIN


async def test_there_is_no_way_back_from_the_first_menu(talk: Start) -> None:
    chat = await talk(MENUS)
    await chat.say("menu")

    assert await chat.say("0") == f"{AGAIN}\n\n1. Hours\n2. Delivery"


async def test_a_menu_that_was_open_already_is_the_first_again(talk: Start) -> None:
    chat = await talk(MENUS)
    for text in ("menu", "2"):
        await chat.say(text)

    assert await chat.say("3", sender_name="Anna") == MAIN


async def test_an_answer_that_is_no_choice_gets_a_reminder(talk: Start) -> None:
    chat = await talk(MENUS)
    for text in ("menu", "2"):
        await chat.say(text)

    assert await chat.say("7") == f"{AGAIN}\n\n1. Town\n2. Elsewhere\n3. Start\n0. Back"
    assert await chat.say("1") == "Tomorrow."


async def test_a_rule_answers_while_a_menu_is_open(talk: Start) -> None:
    chat = await talk(MENUS)
    await chat.say("menu")

    assert await chat.say("what price") == "Ten."
    assert await chat.say("1") == "9 to 18."


async def test_a_menu_closes_when_nobody_answers(talk: Start) -> None:
    chat = await talk(f"{MENUS}\ndialog: {{timeout: 5m}}")
    await chat.say("menu")
    await chat.router.advance("4m")
    assert await chat.say("2") == DELIVERY
    await chat.router.advance("4m")
    assert await chat.say("0") is not None

    await chat.router.advance("5m")

    assert await chat.say("2") is None


async def test_in_a_group_each_person_has_menus_of_their_own(talk: Start) -> None:
    chat = await talk(f"{MENUS}\ngroups: true")
    await chat.say("menu", chat=GROUP, sender="1@c.us")

    assert await chat.say("1", chat=GROUP, sender="2@c.us") is None
    assert await chat.say("1", chat=GROUP, sender="1@c.us") == "9 to 18."


async def test_words_of_the_dialog_are_options(talk: Start) -> None:
    chat = await talk(f"{MENUS}\ndialog: {{back: Назад, reminder: 'Номер, {{event.sender_name}}?'}}")
    for text in ("menu", "2"):
        await chat.say(text)

    assert (
        await chat.say("x", sender_name="Анна") == "Номер, Анна?\n\n1. Town\n2. Elsewhere\n3. Start\n0. Назад"
    )
    assert await chat.say("назад", sender_name="Anna") == MAIN


async def test_the_default_may_be_a_menu(talk: Start) -> None:
    chat = await talk("{menu: m, menus: {m: {text: Hi, choices: [{name: A, reply: a}]}}}")

    assert [await chat.say(text) for text in ("hello", "1", "1")] == ["Hi\n\n1. A", "a", "Hi\n\n1. A"]


async def test_a_number_is_a_number_before_it_is_a_name(talk: Start) -> None:
    menus = "{m: {text: How many, choices: [{name: '2', reply: two}, {name: '1', reply: one}]}}"
    chat = await talk(f"{{menu: m, menus: {menus}}}")

    await chat.say("hello")

    assert await chat.say("2") == "one"


async def test_of_two_choices_that_are_alike_the_first_is_taken(talk: Start) -> None:
    chat = await talk(
        "{menu: m, menus: {m: {text: Hi, choices: [{name: A, reply: one}, {name: a, reply: two}]}}}"
    )

    await chat.say("hello")

    assert await chat.say("a") == "one"


# Votes


async def test_a_vote_is_an_answer_to_a_menu_and_to_a_rule(talk: Start) -> None:
    chat = await talk(MENUS)

    assert await chat.vote("Menu") is not None
    assert await chat.vote("Delivery") == DELIVERY
    assert await chat.vote("Price") == "Ten."


async def test_a_vote_that_fits_nothing_gets_no_reply(talk: Start) -> None:
    chat = await talk(f"{MENUS}\nreply: What?")
    assert await chat.vote("Red") is None
    assert await chat.vote("Menu") is not None

    assert await chat.vote("Red") is None


async def test_a_vote_outside_the_hours_gets_no_reply(talk: Start) -> None:
    assert await (await talk("{hours: {zone: UTC, open: {mon: []}, reply: Closed.}}")).vote("Red") is None


async def test_what_is_withheld_opens_no_menu(talk: Start) -> None:
    chat = await talk("{menu: m, menus: {m: {text: Hi, choices: [{name: A, reply: a}]}}}")

    assert await chat.say("{{SWE003}}") is None
    assert await chat.say("1") == "Hi\n\n1. A"


def test_a_menu_that_is_gone_is_not_open() -> None:
    answer = Answers(Options(reply="A")).to(Said("1", "1", "1@c.us"), datetime.now(UTC), ("gone",))

    assert answer is not None
    assert (answer.text, answer.path) == ("A", ())


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
    chat = await talk(HOURS)
    assert await chat.say("now") == "Open."

    await chat.router.advance("5h")  # 18:00 in Berlin
    assert await chat.say("now") == "Closed."
    await chat.router.advance("15h")  # on a holiday
    assert await chat.say("now") is None
    await chat.router.advance("5h")
    assert await chat.say("now") == "Closed."
    await chat.router.advance("19h")
    assert await chat.say("now") == "Open."


async def test_outside_the_hours_there_may_be_no_reply(talk: Start) -> None:
    chat = await talk(
        "{hours: {zone: UTC, open: {mon: [09:00-18:00]}}, rules: [{keywords: [a], reply: A}], reply: Open.}"
    )

    assert await chat.say("a") is None


# Attempts


class Twice(Autoreply):
    """Does everything, and then asks to be called again."""

    async def __call__(self, event: Event, context: Context) -> None:
        await super().__call__(event, context)
        if context.delivery.attempt == 1:
            raise RetryLater("once more", after=1)


class TwicePlugin:
    @staticmethod
    @hookimpl
    def register_handlers(register: RegisterHandler) -> None:
        register("twice", Twice, options=Options)


async def test_an_attempt_that_is_repeated_does_each_thing_once(talk: Start) -> None:
    chat = await talk(f"{MENUS}\ncooldown: 1m", handler="twice", plugins=[TwicePlugin])
    for text in ("menu", "2", "1"):
        await chat.say(text)
        await chat.router.advance("1s")

    assert chat.router.replies == [MAIN, DELIVERY, "Tomorrow."]
    assert [delivery.attempts for delivery in chat.router.deliveries()] == [2, 2, 2]
    assert await chat.say("1") is None


async def test_a_reply_that_was_not_sent_is_sent_by_the_next_attempt(talk: Start) -> None:
    chat = await talk(f"{MENUS}\ncooldown: 1m")
    await chat.say("menu")
    chat.router.api.answer("sendMessage", RateLimited(0, "sendMessage", "too many", status=429))

    assert await chat.say("2") is None
    await chat.router.advance("1m")

    assert chat.router.replies == [MAIN, DELIVERY]
    assert await chat.say("1") == "Tomorrow."
