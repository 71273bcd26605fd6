from __future__ import annotations

import orjson
import pytest

from router import replies
from router.errors import GiveUp, NoApi, SendInDoubt
from router.events import Event
from router.replies import PAUSE, PingPong
from tests.conftest import Log
from tests.greenapi.scripted import HANG_UP, Reply, Request
from tests.shop import CHAT, INSTANCE, Clock, Shop, message, open_shop, sample, sent

GROUP = "120363000000000000@g.us"


async def test_a_reply_goes_to_the_chat_of_the_event() -> None:
    async with open_shop() as shop:
        assert await shop.context(message(chat=GROUP)).reply("Hi!") == "id of Hi!"
    (request,) = shop.server.requests
    assert request.method == "sendMessage"
    assert orjson.loads(request.body) == {"chatId": GROUP, "message": "Hi!"}


async def test_a_reply_may_quote_the_message() -> None:
    async with open_shop() as shop:
        await shop.context(message()).reply("Hi!", quote=True)
        call = sample("incomingCall/wa-pickup.json")
        await shop.context(call, delivery=8).reply("You called?", quote=True)
    quoted, plain = (orjson.loads(request.body) for request in shop.server.requests)
    assert quoted["quotedMessageId"] == "M1"
    assert "quotedMessageId" not in plain


async def test_a_handler_that_runs_again_says_only_what_it_has_not_said() -> None:
    async with open_shop() as shop:
        await shop.context().reply("one")
        shop.restart()
        again = shop.context(attempt=2)
        assert [await again.reply(text) for text in ("one", "two")] == ["id of one", "id of two"]
        assert set(shop.records("outbox/7")) == {"reply/1", "reply/2"}
    assert shop.said == ["one", "two"]


async def test_a_withheld_reply_has_its_number_all_the_same() -> None:
    """Or the next one would be taken for it in an attempt that does not withhold it."""
    async with open_shop() as shop:
        context = shop.context(message("{{SWE001}}"))
        await context.reply("withheld")
        await context.reply("said", always=True)
        assert set(shop.records("outbox/7")) == {"reply/2"}


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (
            sample("outgoingMessageReceived/wa-text.json"),
            "outgoingMessageReceived tells of what the account itself did",
        ),
        (
            message(typeWebhook="outgoingAPIMessageReceived"),
            "outgoingAPIMessageReceived tells of what the account itself did",
        ),
        (
            sample("outgoingMessageStatus/wa-sent-by-api.json"),
            "outgoingMessageStatus tells of what the account itself did",
        ),
        (message(sender="79009999999@c.us"), "the account itself is the sender"),
        (message("{{SWE001}}"), "{{SWE001}} stands in place of a text that GREEN-API could not read"),
        (message(" {{SWE004}} "), "{{SWE004}} stands in place of a text that GREEN-API could not read"),
    ],
    ids=["by phone", "by API", "status", "own wid", "SWE001", "with spaces"],
)
async def test_nobody_is_answered_who_is_no_person(event: Event, reason: str, log: Log) -> None:
    async with open_shop() as shop:
        assert await shop.context(event).reply("Hi!") is None
        assert shop.said == []
        assert await shop.context(event, delivery=8).reply("Hi!", always=True) == "id of Hi!"
    (line,) = log.named("reply.withheld")
    assert (line["level"], line["idInstance"], line["chatId"]) == ("INFO", INSTANCE, event.chat)
    assert line["reason"] == reason


@pytest.mark.parametrize("text", ["what is {{SWE001}}?", "{{name}}", "SWE001"])
async def test_a_person_may_write_of_such_marks(text: str) -> None:
    async with open_shop() as shop:
        assert await shop.context(message(text)).reply("Hi!") is not None


async def test_an_event_without_a_chat_cannot_be_replied_to() -> None:
    async with open_shop() as shop:
        context = shop.context(sample("stateInstanceChanged/wa-authorized.json"))
        with pytest.raises(GiveUp, match="an event of type stateInstanceChanged names no chat to reply to"):
            await context.reply("Hi!")


async def test_without_a_token_there_is_no_reply() -> None:
    async with open_shop() as shop:
        event = message(instanceData={"idInstance": 5, "wid": "1@c.us"})
        with pytest.raises(NoApi, match="no token of instance 5"):
            await shop.context(event).reply("Hi!")


async def test_an_answer_without_an_id_is_a_doubt() -> None:
    async with open_shop(lambda _: Reply(content={})) as shop:
        with pytest.raises(SendInDoubt, match="expected an object with idMessage"):
            await shop.context().reply("Hi!")


# Two machines that answer each other


async def ask(shop: Shop, delivery: int, event: Event | None = None, *, attempt: int = 1) -> str | None:
    return await shop.context(event or message(), delivery=delivery, attempt=attempt).reply("Hi!")


async def test_whoever_is_answered_too_often_in_a_minute_is_cut_off(log: Log) -> None:
    async with open_shop() as shop:
        for delivery in range(20):
            shop.clock.now += 2.9
            assert await ask(shop, delivery)
        assert [await ask(shop, delivery) for delivery in (20, 21)] == [None, None]
    (line,) = log.named("reply.cut_off")
    facts = {"level": "WARNING", "idInstance": INSTANCE, "chatId": CHAT, "sender": CHAT}
    assert {**facts, "answered": 20, "seconds": 60.0}.items() <= line.items()
    assert [line["reason"] for line in log.named("reply.withheld")] == [
        "the chat is cut off: see reply.cut_off"
    ] * 2


async def test_whoever_waits_for_each_answer_and_reads_it_is_not_cut_off() -> None:
    async with open_shop() as shop:
        for delivery in range(60):
            shop.clock.now += 3.1
            assert await ask(shop, delivery)


async def test_a_slow_machine_is_cut_off_within_the_hour() -> None:
    clock = Clock()
    ping_pong = PingPong(clock)
    for _ in range(200):
        assert ping_pong.cut_off((1, "a", "b")) is None
        ping_pong.answered((1, "a", "b"))
        clock.now += 17.9
    assert ping_pong.cut_off((1, "a", "b")) == replies.WINDOWS[1]
    clock.now += PAUSE
    assert ping_pong.cut_off((1, "a", "b")) is None


async def test_an_answer_of_many_parts_counts_once() -> None:
    async with open_shop() as shop:
        context = shop.context()
        assert None not in [await context.reply(str(n)) for n in range(50)]
        assert await ask(shop, 8)


async def test_the_last_answer_is_given_to_its_end() -> None:
    async with open_shop() as shop:
        for delivery in range(19):
            await ask(shop, delivery)
        last = shop.context(delivery=19)
        assert [await last.reply(text) for text in "ab"] == ["id of a", "id of b"]


async def test_others_in_the_chat_and_other_chats_are_answered() -> None:
    async with open_shop() as shop:
        for delivery in range(21):
            await ask(shop, delivery, message(chat=GROUP))
        others = [message(chat=GROUP, sender="7@c.us"), message()]
        assert None not in [await ask(shop, 30 + n, event) for n, event in enumerate(others)]


async def test_after_a_pause_whoever_was_cut_off_is_answered_again(log: Log) -> None:
    async with open_shop() as shop:
        for delivery in range(21):
            await ask(shop, delivery)
        for delivery in (21, 22, 23):
            shop.clock.now += PAUSE - 1
            assert await ask(shop, delivery) is None
        shop.clock.now += PAUSE
        assert None not in [await ask(shop, delivery) for delivery in range(24, 44)]
        assert await ask(shop, 44) is None
    assert len(log.named("reply.cut_off")) == 2


async def test_what_is_only_repeated_does_not_count_and_is_not_withheld() -> None:
    async with open_shop() as shop:
        for attempt in range(1, 40):
            assert await ask(shop, 7, attempt=attempt)
        for delivery in range(20, 40):
            await ask(shop, delivery)
        assert await ask(shop, 50) is None
        assert await ask(shop, 7, attempt=40) == "id of Hi!"
    assert len(shop.said) == 20


async def test_a_doubt_stays_one_for_whoever_is_cut_off() -> None:
    def answer(request: Request) -> Reply:
        return sent(request) if len(shop.server.requests) > 1 else HANG_UP

    async with open_shop(answer) as shop:
        with pytest.raises(SendInDoubt):
            await ask(shop, 7)
        for delivery in range(20, 41):
            await ask(shop, delivery)
        with pytest.raises(SendInDoubt):
            await ask(shop, 7, attempt=2)


def test_whoever_wrote_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "_MOST_PARTNERS", 2)
    ping_pong = PingPong(Clock())
    for _ in range(20):
        ping_pong.answered((1, "a", None))
    ping_pong.cut_off((1, "b", None))
    assert ping_pong.cut_off((1, "a", None))
    ping_pong.cut_off((1, "b", None))
    ping_pong.cut_off((1, "c", None))
    assert ping_pong.cut_off((1, "a", None)) is None
