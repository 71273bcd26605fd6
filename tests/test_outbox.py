from __future__ import annotations

import asyncio
import socket
from random import Random

import pytest

from router import operations
from router.errors import (
    BadRequest,
    GreenApiError,
    InboxUnavailable,
    NoAnswer,
    QuotaExceeded,
    RateLimited,
    SendInDoubt,
    ServerError,
)
from tests.conftest import Log
from tests.greenapi.scripted import HANG_UP, SILENCE, Reply, Request, in_turn
from tests.shop import CHAT, INSTANCE, Killed, Shop, message, open_shop, said, sent

POLL = {"chatId": CHAT, "message": "Tea?", "options": [{"optionName": "yes"}, {"optionName": "no"}]}


async def test_what_is_sent_is_answered_again_and_not_sent_again() -> None:
    async with open_shop() as shop:
        first = await shop.context().send_once("poll", "sendPoll", **POLL)
        shop.restart()
        again = await shop.context(attempt=2).send_once("poll", "sendPoll", **POLL)
    assert first == again == {"idMessage": "id of Tea?"}
    assert [request.method for request in shop.server.requests] == ["sendPoll"]


async def test_deliveries_and_keys_do_not_know_each_other() -> None:
    async with open_shop() as shop:
        await shop.context().send_once("1", "sendPoll", **POLL)
        await shop.context().send_once("2", "sendPoll", **POLL)
        await shop.context(delivery=8).send_once("1", "sendPoll", **POLL)
    assert len(shop.server.requests) == 3


async def test_a_record_says_what_is_sent_before_it_is() -> None:
    found = {}

    async def answer(request: Request) -> Reply:
        found.update(shop.records("outbox/7"))
        return sent(request)

    async with open_shop(answer) as shop:
        await shop.context().send_once("poll", "sendPoll", **POLL)
        now = shop.records("outbox/7")
    (record,) = found.values()
    assert {**record, "at": None} == {"method": "sendPoll", "instance": INSTANCE, "chat": CHAT, "at": None}
    assert now["poll"]["answer"] == {"idMessage": "id of Tea?"}


async def test_an_empty_answer_says_that_it_is_done() -> None:
    async with open_shop(in_turn(Reply(content=b""))) as shop:
        for attempt in (1, 2):
            context = shop.context(attempt=attempt)
            assert await context.send_once("gone", "deleteMessage", chatId=CHAT, idMessage="M") == {}
    assert len(shop.server.requests) == 1


async def test_a_key_is_that_of_one_method() -> None:
    async with open_shop() as shop:
        await shop.context().send_once("poll", "sendPoll", **POLL)
        with pytest.raises(ValueError, match="key 'poll' of delivery 7 is that of a sendPoll"):
            await shop.context().send_once("poll", "sendMessage", chatId=CHAT, message="Tea?")


@pytest.mark.parametrize("key", ["", "k" * 513, "reply/1", "\ud800"], ids=ascii)
async def test_a_key_that_cannot_be_one_is_refused(key: str) -> None:
    async with open_shop() as shop:
        with pytest.raises(ValueError, match="expected"):
            await shop.context().send_once(key, "sendPoll", **POLL)
    assert shop.server.requests == []


# Surely not done


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(503, b"<html>"), ServerError),
        (Reply(429), RateLimited),
        (Reply(466, {"invokeStatus": {"status": "QUOTE_EXCEEDED"}}), QuotaExceeded),
        (Reply(400, b"bad request data"), BadRequest),
        (Reply(200, {"status": False, "reason": "bad"}), BadRequest),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else str(value.status),
)
async def test_what_was_surely_not_done_is_sent_by_the_next_attempt(
    reply: Reply, error: type[GreenApiError]
) -> None:
    replies = [reply]
    async with open_shop(lambda request: replies[0] if replies else sent(request)) as shop:
        with pytest.raises(error):
            await shop.context().send_once("poll", "sendPoll", **POLL)
        assert shop.records("outbox/7") == {}
        replies.clear()
        assert await shop.context(attempt=2).send_once("poll", "sendPoll", **POLL) != {}


async def test_what_could_not_be_sent_is_sent_by_the_next_attempt() -> None:
    async with open_shop() as shop:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        there, shop.server.url = shop.server.url, nobody
        shop.restart()
        with pytest.raises(NoAnswer, match="cannot connect"):
            await shop.context().send_once("poll", "sendPoll", **POLL)
        shop.server.url = there
        shop.restart()
        assert await shop.context(attempt=2).send_once("poll", "sendPoll", **POLL) != {}


async def test_arguments_that_are_no_json_are_no_doubt() -> None:
    async with open_shop() as shop:
        with pytest.raises(TypeError):
            await shop.context().send_once("poll", "sendPoll", chatId=CHAT, options={1, 2})
        assert shop.records("outbox/7") == {}


# In doubt


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (HANG_UP, "the connection was closed before there was an answer"),
        (Reply(500, b""), "500"),
        (Reply(502, b""), "502"),
        (Reply(504, b""), "504"),
        (Reply(200, b"<html>welcome"), "expected JSON, found welcome"),
        (Reply(302, b""), "expected 200, found 302"),
        (Reply(200, [1]), "expected an object, found something else"),
        (Reply(200, {"idMessage": "x" * 99}, cut_after=9), "the answer was cut off"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_lost_answer_is_a_doubt_until_a_person_decides(reply: Reply, found: str, log: Log) -> None:
    async with open_shop(in_turn(reply)) as shop:
        with pytest.raises(SendInDoubt) as first:
            await shop.context().send_once("the poll", "sendPoll", **POLL)
        shop.restart()
        with pytest.raises(SendInDoubt) as again:
            await shop.context(attempt=2).send_once("the poll", "sendPoll", **POLL)
        doubts = shop.records("in-doubt/7")
    assert len(shop.server.requests) == 1
    told = (
        f"sendPoll of delivery 7, key 'the poll', is in doubt: {found}; look whether it arrived. "
        "If so: router outbox sent 7 'the poll'; if not: router outbox again 7 'the poll'; "
        "then: router dead retry 7"
    )
    assert (first.value.reason, again.value.reason) == (told, told)
    (line,) = log.named("send.in_doubt")
    facts = {"method": "sendPoll", "delivery": 7, "key": "the poll", "error": found}
    assert facts.items() <= line.items()
    assert (line["level"], line["idInstance"], line["chatId"]) == ("WARNING", INSTANCE, CHAT)
    assert doubts["the poll"]["error"] == found


async def test_a_kill_while_it_is_sent_is_a_doubt() -> None:
    def answer(request: Request) -> Reply:
        shop.store.steps_to_live = 0
        return sent(request)

    async with open_shop(answer) as shop:
        with pytest.raises(Killed):
            await shop.context().send_once("poll", "sendPoll", **POLL)
        shop.restart()
        with pytest.raises(SendInDoubt, match="its end was not recorded"):
            await shop.context().send_once("poll", "sendPoll", **POLL)
        assert set(shop.records("in-doubt/7")) == {"poll"}


async def test_a_cancellation_while_it_is_sent_is_a_doubt(log: Log) -> None:
    came = asyncio.Event()

    def answer(_: Request) -> Reply:
        came.set()
        return SILENCE

    async with open_shop(answer) as shop:
        handler = asyncio.create_task(shop.context().send_once("poll", "sendPoll", **POLL))
        await came.wait()
        handler.cancel()
        with pytest.raises(asyncio.CancelledError):
            await handler
        with pytest.raises(SendInDoubt, match="the handler was cancelled before there was an answer"):
            await shop.context(attempt=2).send_once("poll", "sendPoll", **POLL)
    assert len(log.named("send.in_doubt")) == 1


async def test_a_cancellation_before_it_is_sent_is_no_doubt() -> None:
    async with open_shop(in_turn(Reply(content={}))) as shop:
        await shop.services.apis[INSTANCE].call("setProfilePicture", file="x")
        slot_is_far = shop.context().send_once("picture", "setProfilePicture", file="x")
        handler = asyncio.create_task(slot_is_far)
        while not shop.records("outbox/7"):
            await asyncio.sleep(0)
        handler.cancel()
        with pytest.raises(asyncio.CancelledError):
            await handler
        assert (shop.records("outbox/7"), shop.records("in-doubt/7")) == ({}, {})
    assert len(shop.server.requests) == 1


# A store that cannot be written


async def test_nothing_is_sent_while_the_store_cannot_be_written() -> None:
    async with open_shop() as shop:
        shop.store.is_full = True
        with pytest.raises(InboxUnavailable):
            await shop.context().send_once("poll", "sendPoll", **POLL)
    assert shop.server.requests == []


async def test_an_answer_that_cannot_be_stored_is_given_and_stored_later(log: Log) -> None:
    def answer(request: Request) -> Reply:
        shop.store.is_full = True
        return sent(request)

    async with open_shop(answer) as shop:
        first = await shop.context().send_once("poll", "sendPoll", **POLL)
        with pytest.raises(InboxUnavailable):
            await shop.context(delivery=8).send_once("other", "sendPoll", **POLL)
        assert [line["key"] for line in log.named("send.not_recorded")] == ["poll"]
        shop.store.is_full = False
        again = await shop.context(attempt=2).send_once("poll", "sendPoll", **POLL)
        shop.restart()
        after = await shop.context(attempt=2).send_once("poll", "sendPoll", **POLL)
    assert first == again == after == {"idMessage": "id of Tea?"}
    assert len(shop.server.requests) == 1


async def test_an_answer_that_was_never_stored_is_a_doubt_after_a_restart() -> None:
    def answer(request: Request) -> Reply:
        shop.store.is_full = True
        return sent(request)

    async with open_shop(answer) as shop:
        await shop.context().send_once("poll", "sendPoll", **POLL)
        shop.restart()
        with pytest.raises(SendInDoubt):
            await shop.context(attempt=2).send_once("poll", "sendPoll", **POLL)
    assert len(shop.server.requests) == 1


async def test_a_refusal_that_cannot_be_recorded_is_no_doubt_later() -> None:
    def answer(request: Request) -> Reply:
        if len(shop.server.requests) > 1:
            return sent(request)
        shop.store.is_full = True
        return Reply(400)

    async with open_shop(answer) as shop:
        with pytest.raises(BadRequest):
            await shop.context().send_once("poll", "sendPoll", **POLL)
        shop.store.is_full = False
        assert await shop.context(attempt=2).send_once("poll", "sendPoll", **POLL) != {}


# What was left behind


async def test_two_runs_that_send_the_same_at_once_send_it_once() -> None:
    async with open_shop() as shop:
        runs = (shop.context(attempt=n).send_once("poll", "sendPoll", **POLL) for n in range(5))
        answers = await asyncio.gather(*runs)
    assert answers == [{"idMessage": "id of Tea?"}] * 5
    assert len(shop.server.requests) == 1


async def test_what_waits_for_another_run_sends_nothing_once_its_attempt_has_ended() -> None:
    let_go = asyncio.Event()

    async def answer(_: Request) -> Reply:
        await let_go.wait()
        return Reply(400)

    async with open_shop(answer) as shop:
        first, late = shop.context(), shop.context()
        sends = [asyncio.create_task(each.send_once("poll", "sendPoll", **POLL)) for each in (first, late)]
        while not shop.server.requests:
            await asyncio.sleep(0)
        late.close()
        let_go.set()
        outcomes = await asyncio.gather(*sends, return_exceptions=True)
    assert [type(each) for each in outcomes] == [BadRequest, RuntimeError]
    assert len(shop.server.requests) == 1


# Whatever happens


class Messenger:
    """A GREEN-API that fails in every way, and the messages that it delivered."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.delivered: list[str] = []
        self.is_well = False
        self.shop: Shop

    def answer(self, request: Request) -> Reply:
        refusals = [Reply(503), Reply(429), Reply(466), Reply(400, b"instance is starting"), Reply(401)]
        if not self.is_well and self.random.random() < 0.3:
            return self.random.choice(refusals)
        lost = [HANG_UP, Reply(500), Reply(502), Reply(200, b"<html>"), Reply(200, b'{"a', cut_after=2)]
        if not self.is_well and self.random.random() < 0.2:
            if self.random.random() < 0.5:
                self.delivered.append(said(request))
            return self.random.choice(lost)
        self.delivered.append(said(request))
        if not self.is_well and self.random.random() < 0.2:
            self.shop.store.steps_to_live = 0
        return sent(request)


TEXTS = ["one", "two", "three"]


@pytest.mark.parametrize("seed", range(60))
async def test_whatever_fails_each_reply_arrives_once_and_each_doubt_is_recorded(seed: int) -> None:
    random = Random(seed)
    messenger = Messenger(random)
    async with open_shop(messenger.answer) as shop:
        messenger.shop = shop
        for attempt in range(1, 40):
            messenger.is_well = attempt > 30
            if (
                await run(shop, attempt, random, messenger.delivered, is_well=messenger.is_well)
                and random.random() < 0.5
            ):
                break
            assert max(map(messenger.delivered.count, TEXTS)) <= 1
    assert sorted(messenger.delivered) == sorted(TEXTS)


async def run(shop: Shop, attempt: int, random: Random, delivered: list[str], *, is_well: bool) -> bool:
    """Run the handler once, with a process or a store that may fail; return whether it came to its end."""
    if not is_well and random.random() < 0.5:
        shop.store.steps_to_live = random.randrange(30)
    shop.store.is_full = not is_well and random.random() < 0.1
    handler = asyncio.create_task(replies(shop, attempt))
    if not is_well and random.random() < 0.3:
        for _ in range(random.randrange(100)):
            await asyncio.sleep(0)
        handler.cancel()
    try:
        await handler
    except SendInDoubt as doubt:
        if shop.store.steps_to_live is None and not shop.store.is_full:
            decide(shop, doubt.key, delivered)  # which is there to be decided
    except (GreenApiError, InboxUnavailable, asyncio.CancelledError, Killed):
        pass
    else:
        return True
    finally:
        if shop.store.steps_to_live is not None:
            shop.restart()
    return False


async def replies(shop: Shop, attempt: int) -> None:
    context = shop.context(message(), attempt=attempt)
    for text in TEXTS:
        await context.reply(text)


def decide(shop: Shop, key: str, delivered: list[str]) -> None:
    """Do what a person does who sees the chat."""
    text = TEXTS[int(key.removeprefix("reply/")) - 1]
    settle = operations.take_as_sent if text in delivered else operations.send_again
    settle(shop.ledger, 7, key)
