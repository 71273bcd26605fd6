"""What a failing assertion says: enough to know what went wrong without a debugger."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from router import Context, Event, GiveUp, RegisterHandler, hookimpl
from router.errors import NotFound, QuotaExceeded
from router.testing import RouterHarness, make_event

NINE = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


class Shop:
    """A plugin that goes wrong in several ways, as the text asks for."""

    def __init__(self) -> None:
        self.router: Any = None

    async def handle(self, event: Event, context: Context) -> None:
        match event.text:
            case "give up":
                raise GiveUp("no stock")
            case "fail":
                raise KeyError("price")
            case "hang":
                await asyncio.Event().wait()
            case "fail, then hang" if context.delivery.attempt == 1:
                raise KeyError("price") from None
            case "fail, then hang":
                await asyncio.Event().wait()
            case "warn":
                context.logger.warning("stock.low", item="tea", left=2)
            case text:
                await self.router.api.instance(event.instance).send_message(event.chat, f"You said {text}")

    @hookimpl
    def register_handlers(self, register: RegisterHandler) -> None:
        register("shop", self.handle)


ROUTES = """
    routes:
      - name: orders
        type: incomingMessageReceived
        when: {text: [{prefix: /order}]}
        handler: shop
      - name: talk
        type: incomingMessageReceived
        handler: shop
        order: none
        retry: {attempts: 2, first: 10s, jitter: 0}
    """


async def said(*texts: str, check: Callable[[RouterHarness], None], prepare: Any = None) -> str:
    """Send texts and return what the failing check says, but for what is not the same in each run."""
    shop = Shop()
    async with RouterHarness(ROUTES, plugins=[shop], start=NINE) as router:
        shop.router = router
        if prepare:
            prepare(router)
        for text in texts:
            await router.send(make_event(text=text))
        await router.settle()
        with pytest.raises(AssertionError) as caught:
            check(router)
    return re.sub(r'(File )?"?/\S+/(\w+\.py)"?(:\d+|, line \d+)', r"\2", str(caught.value))


async def test_nothing_came_in() -> None:
    message = await said(check=lambda router: router.assert_done())
    assert message == "expected every delivery to be done, found no delivery\n\nnothing came in"


async def test_it_is_not_told_that_the_machine_was_busy() -> None:
    def stand_still(_: RouterHarness) -> None:
        structlog.get_logger("router.watchdog").warning("loop.blocking", duration=0.4)

    message = await said(check=lambda router: router.assert_done(), prepare=stand_still)
    assert message == "expected every delivery to be done, found no delivery\n\nnothing came in"


async def test_no_route_matched_and_why() -> None:
    message = await said("Hello", check=lambda router: router.assert_done("orders"))
    assert message == (
        "expected every delivery of route 'orders' to be done, found no delivery\n"
        "\n"
        "came in:\n"
        '  incomingMessageReceived textMessage "Hello" in 79001234567@c.us: accepted\n'
        '    route orders: when: text: expected text beginning with "/order"; found "Hello"\n'
        "    route talk: matches\n"
        "deliveries:\n"
        "  talk: done, 1 attempt\n"
        "sent:\n"
        '  sendMessage(chatId="79001234567@c.us", message="You said Hello")'
    )


async def test_a_handler_failed_and_where() -> None:
    message = await said("fail", check=lambda router: router.assert_done("talk", count=1))
    assert message == (
        "expected 1 delivery of route 'talk' to be done, found 1 pending\n"
        "\n"
        "came in:\n"
        '  incomingMessageReceived textMessage "fail" in 79001234567@c.us: accepted\n'
        '    route orders: when: text: expected text beginning with "/order"; found "fail"\n'
        "    route talk: matches\n"
        "deliveries:\n"
        "  talk: pending, 1 attempt, next in 10 s: KeyError: 'price'\n"
        "    Traceback (most recent call last):\n"
        "      test_assertions.py, in handle\n"
        '        raise KeyError("price")\n'
        "    KeyError: 'price'\n"
        "log:\n"
        '  WARNING delivery.failed route="talk" attempt=1 outcome="error" '
        'error="KeyError: \'price\'" next_attempt_at="2026-11-24T09:00:10.000+00:00"'
    )


async def test_a_handler_gave_up() -> None:
    message = await said("give up", check=lambda router: router.assert_done())
    assert message.startswith("expected every delivery to be done, found 1 dead\n")
    assert "\n  talk: dead, 1 attempt: gave up: no stock\n" in message
    assert "\n  ERROR delivery.dead " in message


async def test_a_handler_hangs_and_where() -> None:
    message = await said("hang", check=lambda router: router.assert_done())
    assert message.startswith("expected every delivery to be done, found 1 running\n")
    assert "still running:\n  talk, attempt 1: test_assertions.py in Shop.handle" in message


async def test_an_attempt_that_runs_is_no_longer_waited_for() -> None:
    async with RouterHarness(ROUTES, plugins=[Shop()]) as router:
        await router.send(make_event(text="fail, then hang"))
        await router.settle()
        assert "\n  talk: pending, 1 attempt, next in 10 s: KeyError: 'price'\n" in router.report()
        await router.advance("11s")
        assert "\n  talk: running, 1 attempt: KeyError: 'price'\n" in router.report()


async def test_the_number_is_another_one() -> None:
    message = await said("a", "b", check=lambda router: router.assert_done("talk", count=1))
    assert message.startswith("expected 1 delivery of route 'talk' to be done, found 2 done\n")


async def test_there_is_no_dead_letter() -> None:
    message = await said("Hello", check=lambda router: router.assert_dead("talk", reason="stock"))
    assert message.startswith("expected a dead letter of route 'talk' because of 'stock', found 1 done\n")


async def test_it_is_dead_for_another_reason() -> None:
    message = await said("give up", check=lambda router: router.assert_dead(reason="no money"))
    assert message.startswith(
        "expected a dead letter because of 'no money', found dead because of 'gave up: no stock'\n"
    )


async def test_another_reply_was_sent() -> None:
    message = await said("Hello", "tea", check=lambda router: router.assert_replied("You said hello"))
    assert message.startswith("expected the reply 'You said hello', found 'You said Hello', 'You said tea'\n")


async def test_no_reply_was_sent() -> None:
    message = await said("warn", check=lambda router: router.assert_replied("Hello"))
    assert message.startswith("expected the reply 'Hello', found no reply\n")
    assert '  WARNING stock.low route="talk" attempt=1 item="tea" left=2' in message


async def test_a_reply_was_sent() -> None:
    message = await said("Hello", check=lambda router: router.assert_no_reply())
    assert message.startswith("expected no reply, found 'You said Hello'\n")


async def test_something_else_was_sent() -> None:
    message = await said("Hello", check=lambda router: router.assert_sent("sendPoll", chatId="1@c.us"))
    assert message.startswith(
        'expected sendPoll(chatId="1@c.us"), '
        'found sendMessage(chatId="79001234567@c.us", message="You said Hello")\n'
    )


async def test_green_api_refused_it() -> None:
    message = await said(
        "Hello",
        prepare=lambda router: router.api.answer("sendMessage", QuotaExceeded),
        check=lambda router: router.assert_sent("sendMessage"),
    )
    assert message.startswith("expected sendMessage(), found nothing was sent\n")
    assert (
        'not sent:\n  sendMessage(chatId="79001234567@c.us", message="You said Hello"): '
        "instance 1101000001: sendMessage: 466: Monthly quota has been exceeded" in message
    )


async def test_what_is_invalid_says_why() -> None:
    async with RouterHarness(ROUTES, plugins=[Shop()]) as router:
        await router.send(make_event(data={"senderData": 5}))
        await router.send(b"no JSON")
        with pytest.raises(AssertionError) as caught:
            router.assert_done()
    assert 'textMessage "I use GREEN-API to send this message to you!": invalid\n    $.senderData: ' in str(
        caught.value
    )
    assert "  no type: invalid\n    $: " in str(caught.value)


async def test_there_is_no_such_route() -> None:
    async with RouterHarness(ROUTES, plugins=[Shop()]) as router:
        with pytest.raises(NotFound, match="no route is named 'order'; did you mean 'orders'"):
            router.assert_done("order")


async def test_what_holds_says_nothing() -> None:
    shop = Shop()
    async with RouterHarness(ROUTES, plugins=[shop]) as router:
        shop.router = router
        router.assert_no_reply()
        for text in ("Hello", "/order tea", "give up"):
            await router.send(make_event(text=text))
        await router.settle()
        router.assert_done("orders")
        router.assert_done("orders", count=1)
        router.assert_dead("talk", reason="no stock")
        router.assert_dead()
        router.assert_replied("You said Hello")
        router.assert_sent("sendMessage", message="You said Hello")
        router.assert_sent("sendMessage")
        assert [record.error for record in router.dead] == ["gave up: no stock"]
