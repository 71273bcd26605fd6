from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pytest
from anyio import to_thread

from router.blocking import Blocking
from router.context import BlockingContext, Context, Delivery, current_delivery
from router.errors import BadRequest, NoApi
from router.greenapi.blocking import BlockingApi
from router.greenapi.client import InstanceApi
from router.state import BlockingState, State
from tests.conftest import Log
from tests.greenapi.scripted import Reply
from tests.shop import CHAT, INSTANCE, Shop, message, open_shop

T = TypeVar("T")

DELIVERY = Delivery(7, "0190-1", "orders", "autoreply", 2)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with open_shop() as shop:
        yield shop


def test_a_handler_gets_its_event_its_delivery_and_the_options_of_its_route() -> None:
    event = message()
    context = Context(event, DELIVERY, {"reply": "Hello"})
    assert (context.event, context.delivery, context.options) == (event, DELIVERY, {"reply": "Hello"})


def test_lines_of_its_logger_name_the_delivery(log: Log) -> None:
    current_delivery.set(DELIVERY)
    Context(message(), DELIVERY, {}).logger.info("order.taken", number=5)
    current_delivery.set(None)
    (record,) = log.records
    del record["timestamp"]
    assert record == {
        "level": "INFO",
        "event": "order.taken",
        "event_id": "0190-1",
        "route": "orders",
        "handler": "autoreply",
        "attempt": 2,
        "number": 5,
    }


async def test_deliveries_that_run_at_once_do_not_borrow_each_others_names(log: Log) -> None:
    both_are_in = asyncio.Barrier(2)

    async def handle(delivery: Delivery) -> None:
        current_delivery.set(delivery)
        await both_are_in.wait()
        Context(message(), delivery, {}).logger.info("handled")

    await asyncio.gather(
        asyncio.create_task(handle(DELIVERY)),
        asyncio.create_task(handle(Delivery(8, "0190-2", "audit", "archive", 1))),
    )
    assert {(line["event_id"], line["route"]) for line in log.records} == {
        ("0190-1", "orders"),
        ("0190-2", "audit"),
    }


def test_a_context_made_by_hand_says_what_it_lacks() -> None:
    with pytest.raises(RuntimeError, match=r"made by hand has no services: test with router\.testing"):
        _ = Context(message(), DELIVERY, {}).state


async def test_the_api_is_that_of_the_events_instance(shop: Shop) -> None:
    assert shop.context().api is shop.services.apis[INSTANCE]
    assert await shop.context().api.send_message(CHAT, "Hi!") == "id of Hi!"


@pytest.mark.parametrize(
    ("account", "found"),
    [({"idInstance": 5}, "routes.yaml has no token of instance 5"), ({}, "the event names no instance")],
    ids=["without a token", "without an instance"],
)
async def test_an_instance_without_a_token_has_no_api(account: Any, found: str, shop: Shop) -> None:
    with pytest.raises(NoApi, match=found):
        _ = shop.context(message(instanceData=account)).api


async def test_the_http_client_is_shared(shop: Shop) -> None:
    assert shop.context().http is shop.context().http is shop.services.http


# once


async def test_the_first_time_is_true_once(shop: Shop) -> None:
    first = await shop.context().once("welcome")
    shop.restart()
    again = [await shop.context(attempt=2).once("welcome"), await shop.context(delivery=8).once("welcome")]
    assert (first, again) == (True, [False, False])
    assert await shop.context().once("other")


async def test_routes_have_first_times_of_their_own(shop: Shop) -> None:
    await shop.context().once("welcome")
    event = message()
    context = Context(event, Delivery(8, event.id, "audit", "crm", 1), {}, shop.services)
    assert await context.once("welcome")


async def test_a_first_time_may_be_over(shop: Shop) -> None:
    await shop.context().once("welcome", ttl=60)
    (item,) = shop.memory.items_of("once/orders", 10)
    assert item.expires_at is not None


@pytest.mark.parametrize("key", ["", "k" * 513], ids=len)
async def test_a_first_time_needs_a_key(key: str, shop: Shop) -> None:
    with pytest.raises(ValueError, match="expected a key of 1 to 512 characters"):
        await shop.context().once(key)


# After the attempt


@pytest.mark.parametrize(
    "use",
    [
        lambda context: context.reply("Hi!"),
        lambda context: context.once("key"),
        lambda context: context.send_once("key", "sendMessage"),
        lambda context: context.state.get("key"),
        lambda context: context.api,
        lambda context: context.http,
    ],
    ids=["reply", "once", "send_once", "state", "api", "http"],
)
async def test_what_was_left_behind_can_do_nothing(use: Callable[[Context], Any], shop: Shop) -> None:
    context = shop.context()
    context.close()
    expected = r"attempt 1 of delivery 7 \(route orders\) has ended"
    with pytest.raises(RuntimeError, match=expected):
        await use(context)


async def test_a_state_that_was_kept_can_do_nothing_either(shop: Shop) -> None:
    context = shop.context()
    state = context.state
    context.close()
    for use in (state.get("key"), state.set("key", 1), state.delete("key")):
        with pytest.raises(RuntimeError, match="has ended"):
            await use


# In threads


async def in_thread(call: Callable[[BlockingContext], T], context: Context) -> T:
    return await to_thread.run_sync(call, BlockingContext(context))


async def test_a_def_handler_has_the_same_and_blocks(shop: Shop) -> None:
    def handle(context: BlockingContext) -> list[Any]:
        context.state.set("step", {"n": 1})
        poll = {"chatId": CHAT, "message": "Tea?"}
        return [
            context.event.text,
            context.delivery.attempt,
            context.options,
            context.once("key"),
            context.once("key"),
            context.reply("Hi!"),
            context.send_once("poll", "sendPoll", **poll),
            context.api.id,
            context.api.call("sendPoll", **poll),
            context.api.send_message(CHAT, "More", quoted="M1"),
            context.state.get("step"),
            context.state.delete("step"),
            context.state.get("step", "nothing"),
        ]

    tea = {"idMessage": "id of Tea?"}
    assert await in_thread(handle, shop.context()) == [
        "hello",
        1,
        {},
        True,
        False,
        "id of Hi!",
        tea,
        INSTANCE,
        tea,
        "id of More",
        {"n": 1},
        None,
        "nothing",
    ]


async def test_errors_come_through_to_the_thread() -> None:
    async with open_shop(lambda _: Reply(400, b"bad request data")) as shop:
        with pytest.raises(BadRequest, match="bad request data"):
            await in_thread(lambda context: context.reply("Hi!"), shop.context())
        with pytest.raises(BadRequest):
            await in_thread(lambda context: context.api.send_message(CHAT, "Hi!"), shop.context())


async def test_lines_about_what_a_thread_asked_for_name_its_delivery(shop: Shop, log: Log) -> None:
    def handle(context: BlockingContext) -> None:
        current_delivery.set(DELIVERY)
        context.reply("Hi!")
        context.logger.info("said")

    await in_thread(handle, shop.context(message("{{SWE001}}")))
    assert [(line["event"], line["event_id"]) for line in log.records] == [
        ("reply.withheld", "0190-1"),
        ("said", "0190-1"),
    ]


async def test_the_http_client_is_not_for_threads(shop: Shop) -> None:
    def handle(context: BlockingContext) -> None:
        _ = context.http

    with pytest.raises(RuntimeError, match=r"context\.http is for async def handlers: in a def handler use"):
        await in_thread(handle, shop.context())


async def test_a_thread_that_was_left_behind_can_do_nothing(shop: Shop) -> None:
    began, ended = threading.Event(), threading.Event()
    outcomes: list[str] = []

    def handle(context: BlockingContext) -> None:
        api, state = context.api, context.state
        began.set()
        ended.wait()
        uses: list[Callable[[], object]] = [
            lambda: context.reply("Hi!"),
            lambda: api.send_message(CHAT, "Hi!"),
            lambda: state.set("step", 1),
            lambda: context.once("key"),
        ]
        for use in uses:
            with pytest.raises(RuntimeError) as told:
                use()
            outcomes.append(str(told.value))

    context = shop.context()
    handler = asyncio.create_task(in_thread(handle, context))
    await to_thread.run_sync(began.wait)
    context.close()
    ended.set()
    await handler
    assert ["has ended" in outcome for outcome in outcomes] == [True] * 4
    assert shop.said == []


async def test_a_blocking_context_is_not_for_the_event_loop(shop: Shop) -> None:
    with pytest.raises(RuntimeError, match="would block the event loop"):
        BlockingContext(shop.context()).reply("Hi!")


def coroutines(of: type) -> set[str]:
    return {name for name, value in vars(of).items() if inspect.iscoroutinefunction(value) and name[0] != "_"}


@pytest.mark.parametrize(
    ("blocks", "awaited", "left_out"),
    [
        (BlockingContext, Context, set()),
        (BlockingState, State, set()),
        # What the transports use: a handler that took notifications away would lose them.
        (BlockingApi, InstanceApi, {"receive_notification", "delete_notification"}),
    ],
)
def test_what_blocks_has_all_methods_of_what_is_awaited(
    blocks: type[Blocking[Any]], awaited: type, left_out: set[str]
) -> None:
    for name in coroutines(awaited) - left_out:
        assert inspect.signature(getattr(blocks, name)) == inspect.signature(getattr(awaited, name))


def test_importing_the_public_names_does_not_import_aiohttp() -> None:
    """Every command would take a quarter of a second longer."""
    script = "import router, sys; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
