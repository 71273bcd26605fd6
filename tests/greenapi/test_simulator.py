"""The simulator's HTTP API is GREEN-API's: addresses, the queue, settings, rates."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import ClientError

from router import samples
from router.greenapi.simulator import Simulator
from tests.greenapi.simulated import CHAT, Hand, calling, kinds

#: A receiveTimeout of 5 s is over after 5 ms.
FAST = 1000.0


@pytest.fixture
def simulator() -> Simulator:
    return Simulator(speed=FAST)


@pytest.fixture
def hand() -> Hand:
    return Hand()


# Addresses


@pytest.mark.parametrize(("prefix", "last"), [("", ""), ("/v3", ""), ("", "/"), ("/v3", "/")])
async def test_a_method_has_its_address_also_with_v3_and_with_a_slash(
    simulator: Simulator, prefix: str, last: str
) -> None:
    async with calling(simulator, simulator.add()) as call:
        came = await call("getStateInstance", last, prefix=prefix)
    assert (came.status, came.json) == (200, {"stateInstance": "authorized"})


async def test_a_wrong_token_is_401_and_empty(simulator: Simulator) -> None:
    async with calling(simulator, simulator.add()) as call:
        came = await call("receiveNotification", token="wrong")
    assert (came.status, came.text) == (401, "")


@pytest.mark.parametrize(
    "other",
    [{"id_instance": 7}, {"id_instance": "9" * 5000}, {"prefix": "/v2"}, {"method": "getNothing"}],
    ids=str,
)
async def test_what_is_not_there_is_a_page_of_nginx(simulator: Simulator, other: dict[str, Any]) -> None:
    async with calling(simulator, simulator.add()) as call:
        came = await call(**{"method": "receiveNotification", **other}, verb="GET")
    assert (came.status, came.content_type) == (404, "text/html")
    assert "<center>nginx</center>" in came.text


async def test_the_wrong_verb_is_refused(simulator: Simulator) -> None:
    async with calling(simulator, simulator.add()) as call:
        assert (await call("receiveNotification", verb="POST")).status == 405


async def test_instances_are_told_apart(simulator: Simulator) -> None:
    shop, other = simulator.add(token="one"), simulator.add(token="two")
    async with calling(simulator, shop) as call:
        other.message("for the other one")
        assert (shop.id, other.id) == (1101000001, 1101000002)
        assert (await call("receiveNotification")).json is None
        assert (await call("receiveNotification", id_instance=other.id)).status == 401
        assert (await call("receiveNotification", id_instance=other.id, token="two")).json["receiptId"] == 1


def test_an_instance_is_added_once(simulator: Simulator) -> None:
    simulator.add(7)
    with pytest.raises(ValueError, match="there is an instance 7 already"):
        simulator.add(7)


def test_a_token_is_the_same_for_the_same_id() -> None:
    assert Simulator(seed=1).add(7).token == Simulator(seed=2).add(7).token != Simulator().add(8).token


# Receive and delete


async def test_a_notification_is_given_out_until_it_is_deleted(simulator: Simulator) -> None:
    shop = simulator.add()
    body = samples.read("incomingCall/wa-pickup.json")
    first, second = shop.push(body), shop.push({"typeWebhook": "next"})
    async with calling(simulator, shop) as call:
        twice = [(await call("receiveNotification")).text for _ in range(2)]
        deleted = await call("deleteNotification", f"/{first}")
        then = await call("receiveNotification")
    assert twice == [f'{{"receiptId":{first},"body":{body.decode()}}}'] * 2
    assert deleted.json == {"result": True, "reason": ""}
    assert then.json == {"receiptId": second, "body": {"typeWebhook": "next"}}
    assert (shop.deleted, shop.queued) == ([first], [{"typeWebhook": "next"}])


async def test_an_empty_queue_is_null_when_the_time_is_over(simulator: Simulator) -> None:
    async with calling(simulator, simulator.add()) as call:
        assert (await call("receiveNotification", query={"receiveTimeout": 60})).text == "null"


async def test_who_waits_gets_what_comes() -> None:
    simulator = Simulator()
    shop = simulator.add()
    async with calling(simulator, shop) as call:
        waiting = [asyncio.create_task(call("receiveNotification")) for _ in range(2)]
        await call("getStateInstance")
        shop.message("Hello")
        came = [await each for each in waiting]
    assert [each.json["receiptId"] for each in came] == [1, 1]


@pytest.mark.parametrize("given", ["4", "61", "-5", "5.5", "", "five", "٥", "9" * 5000])
async def test_a_receive_timeout_out_of_range_is_refused(simulator: Simulator, given: str) -> None:
    async with calling(simulator, simulator.add()) as call:
        came = await call("receiveNotification", query={"receiveTimeout": given})
    assert came.status == 400
    assert came.text.startswith("Validation failed. Details: 'receiveTimeout' ")


@pytest.mark.parametrize("receipt", ["/", "/x", "/1.0", "/-1", ""])
async def test_a_receipt_that_is_no_number_is_refused(simulator: Simulator, receipt: str) -> None:
    async with calling(simulator, simulator.add()) as call:
        came = await call("deleteNotification", receipt)
    assert (came.status, came.text) == (400, "Parameter receiptId must be a Number")


async def test_only_what_was_received_can_be_deleted_and_only_once(simulator: Simulator) -> None:
    shop = simulator.add()
    shop.message("one")
    shop.message("two")
    async with calling(simulator, shop) as call:
        results = [(await call("deleteNotification", "/1")).json["result"]]
        await call("receiveNotification")
        results += [
            (await call("deleteNotification", receipt)).json["result"] for receipt in ("/2", "/1", "/1")
        ]
    assert results == [False, False, True, False]
    assert shop.deleted == [1]


async def test_after_24_hours_a_notification_is_lost(hand: Hand) -> None:
    simulator = Simulator(speed=60, now=hand)
    shop = simulator.add()
    shop.message("lost")
    hand.now += 24 * 60 - 1
    shop.message("kept")
    assert len(shop.queued) == 2
    hand.now += 1
    async with calling(simulator, shop) as call:
        assert (await call("receiveNotification")).json["receiptId"] == 2
        assert (await call("deleteNotification", "/1")).json["result"] is False


@pytest.mark.parametrize("method", ["receiveNotification", "deleteNotification"])
async def test_who_is_posted_to_cannot_poll(simulator: Simulator, method: str) -> None:
    shop = simulator.add(settings={"webhookUrl": "http://127.0.0.1:9/"})
    async with calling(simulator, shop) as call:
        came = await call(method, "/1" if method == "deleteNotification" else "")
    assert came.status == 400
    assert came.text.startswith("Message cannot be received because custom webhook url is set")


async def test_what_is_no_json_comes_as_it_is(simulator: Simulator) -> None:
    shop = simulator.add()
    shop.push(b"{half")
    async with calling(simulator, shop) as call:
        assert (await call("receiveNotification")).text == '{"receiptId":1,"body":{half}'
    assert shop.queued == [b"{half"]


# Counting and clearing


async def test_the_count_is_made_every_ten_seconds(hand: Hand) -> None:
    simulator = Simulator(now=hand)
    shop = simulator.add()
    async with calling(simulator, shop) as call:
        counts = [(await call("getWebhooksCount")).json["count"]]
        shop.message("Hello")
        for seconds in (9, 1):
            hand.now += seconds
            counts.append((await call("getWebhooksCount")).json["count"])
    assert counts == [0, 0, 1]


async def test_the_queue_is_cleared_once_a_minute(hand: Hand) -> None:
    simulator = Simulator(now=hand)
    shop = simulator.add()
    answers = []
    async with calling(simulator, shop) as call:
        for seconds in (0, 20, 40):
            hand.now += seconds
            shop.message("Hello")
            answers.append(((await call("clearWebhooksQueue")).json, len(shop.queued)))
    assert [(answer["isCleared"], answer.get("leftTime"), left) for answer, left in answers] == [
        (True, None, 0),
        (False, 40, 1),
        (True, None, 0),
    ]


async def test_the_queue_is_not_cleared_while_it_is_posted(simulator: Simulator) -> None:
    shop = simulator.add(settings={"webhookUrl": "http://127.0.0.1:9/"})
    shop.message("Hello")
    async with calling(simulator, shop) as call:
        assert (await call("clearWebhooksQueue")).json["isCleared"] is False
    assert len(shop.queued) == 1


# Settings and state


async def test_settings_are_in_force_after_a_restart(simulator: Simulator) -> None:
    shop = simulator.add()
    async with calling(simulator, shop) as call:
        answer = await call("setSettings", incomingWebhook="no", stateWebhook="yes", isNew="yes")
        assert (answer.json, shop.state) == ({"saveSettings": True}, "starting")
        await shop.until(lambda shop: shop.state == "authorized")
        settings = (await call("getSettings")).json
        shop.message("nobody is told")
    assert (settings["incomingWebhook"], settings["outgoingWebhook"]) == ("no", "yes")
    assert kinds(shop) == ["stateInstanceChanged starting", "stateInstanceChanged authorized"]


async def test_while_it_starts_the_old_settings_are_in_force_and_nothing_else_is_taken() -> None:
    simulator = Simulator(speed=1)
    shop = simulator.add()
    async with calling(simulator, shop) as call:
        await call("setSettings", incomingWebhook="no")
        shop.message("still told")
        assert (await call("getSettings")).json["incomingWebhook"] == "yes"
        assert (await call("getStateInstance")).json == {"stateInstance": "starting"}
        for method in ("reboot", "logout"):
            came = await call(method)
            assert (came.status, came.text) == (400, "instance in starting process try later")
        came = await call("sendMessage", chatId=CHAT, message="Hello")
        assert (came.status, came.text) == (400, "instance in starting process try later")
        assert (await call("receiveNotification")).json["body"]["stateInstance"] == "starting"
    assert kinds(shop) == ["stateInstanceChanged starting", "incomingMessageReceived"]


async def test_settings_have_every_field(simulator: Simulator) -> None:
    shop = simulator.add(settings={"webhookUrlToken": "secret"}, messenger="v3")
    async with calling(simulator, shop) as call:
        settings = (await call("getSettings")).json
    assert settings["webhookUrlToken"] == "secret"
    assert (settings["wid"], settings["typeInstance"]) == ("71101000001@c.us", "v3")
    assert {name for name, value in settings.items() if value == "yes"} == {
        name for name in settings if name.endswith("Webhook")
    }
    assert len(settings) == 26


@pytest.mark.parametrize(
    "wrong",
    [
        {"incomingWebhook": "maybe"},
        {"incomingWebhook": ["yes"]},
        {"webhookUrl": "shop.example/webhook"},
        {"webhookUrlToken": 7},
        {"delaySendMessagesMilliseconds": 499},
    ],
    ids=str,
)
async def test_settings_that_are_none_are_refused(simulator: Simulator, wrong: dict[str, Any]) -> None:
    shop = simulator.add()
    async with calling(simulator, shop) as call:
        came = await call("setSettings", **wrong)
    assert came.status == 400
    assert came.text.startswith(f"Validation failed. Details: '{next(iter(wrong))}' must be ")
    assert shop.state == "authorized"


def test_a_setting_that_is_none_is_refused_where_an_instance_is_added(simulator: Simulator) -> None:
    with pytest.raises(ValueError, match="no setting is named 'webhokUrl'"):
        simulator.add(settings={"webhokUrl": "http://127.0.0.1/"})


async def test_a_new_state_is_told(simulator: Simulator) -> None:
    shop = simulator.add()
    shop.state = "notAuthorized"
    async with calling(simulator, shop) as call:
        assert (await call("getStateInstance")).json == {"stateInstance": "notAuthorized"}
        assert (await call("getSettings")).json["wid"] == ""
    assert kinds(shop) == ["stateInstanceChanged notAuthorized"]
    assert shop.queued[0]["instanceData"] == {"idInstance": shop.id, "wid": "", "typeInstance": "whatsapp"}


async def test_logout_ends_the_authorization(simulator: Simulator) -> None:
    shop = simulator.add()
    async with calling(simulator, shop) as call:
        assert (await call("logout")).json == {"isLogout": True}
    assert shop.state == "notAuthorized"


# Flags


@pytest.mark.parametrize(
    ("sample", "flags"),
    [
        ("incomingMessageReceived/wa-text-waba.json", ["incomingWebhook"]),
        ("incomingMessageReceived/wa-poll.json", ["incomingWebhook", "pollMessageWebhook"]),
        ("incomingMessageReceived/wa-poll-update.json", ["incomingWebhook", "pollMessageWebhook"]),
        ("incomingMessageReceived/wa-edited-text.json", ["incomingWebhook", "editedMessageWebhook"]),
        ("incomingMessageReceived/composed-wa-deleted.json", ["incomingWebhook", "deletedMessageWebhook"]),
        ("outgoingMessageReceived/wa-text.json", ["outgoingMessageWebhook"]),
        ("outgoingAPIMessageReceived/wa-extended-text.json", ["outgoingAPIMessageWebhook"]),
        ("outgoingMessageStatus/wa-sent-by-api.json", ["outgoingWebhook", "outgoingAPIMessageWebhook"]),
        ("outgoingMessageStatus/docs-noAccount-1.json", []),
        ("incomingCall/wa-pickup.json", ["incomingWebhook", "incomingCallWebhook"]),
        ("outgoingCall/composed-wa-pickup.json", ["outgoingCallWebhook"]),
        ("stateInstanceChanged/wa-authorized.json", ["stateWebhook"]),
        ("statusInstanceChanged/wa-online-docs.json", ["stateWebhook"]),
        ("incomingBlock/wa-blocked-apidog.json", ["incomingBlockWebhook"]),
        ("deviceInfo/wa-iphone.json", ["deviceWebhook"]),
        ("quotaExceeded/wa-correspondents.json", []),
    ],
)
def test_a_notification_is_told_while_its_flags_are_on(sample: str, flags: list[str]) -> None:
    simulator = Simulator()
    all_on = simulator.add()
    only = {name: "yes" if name in flags else "no" for name in all_on.settings.values if "Webhook" in name}
    exactly = simulator.add(settings=only)
    without_one = [simulator.add(settings={**only, flag: "no"}) for flag in flags]
    for account in simulator.accounts:
        account.sample(sample)
    assert [len(account.queued) for account in (all_on, exactly, *without_one)] == [1, 1, *[0] * len(flags)]


def test_what_is_pushed_is_queued_whatever_the_flags_say() -> None:
    shop = Simulator().add(settings={"incomingWebhook": "no"})
    shop.push(samples.read("incomingMessageReceived/wa-text-waba.json"))
    assert len(shop.queued) == 1


# Rates


@pytest.mark.parametrize(
    ("method", "rate"), [("getSettings", 1), ("receiveNotification", 100), ("readChat", 10)]
)
async def test_more_than_the_rate_is_429(hand: Hand, method: str, rate: int) -> None:
    simulator = Simulator(now=hand)
    shop, other = simulator.add(token="one"), simulator.add(token="two")
    shop.message("Hello")
    async with calling(simulator, shop) as call:
        statuses = [(await call(method, chatId=CHAT)).status for _ in range(rate + 1)]
        elsewhere = [
            (await call("getStateInstance")).status,
            (await call("getSettings", id_instance=other.id, token="two")).status,
        ]
        hand.now += 1.1 / rate
        again = (await call(method, chatId=CHAT)).status
    assert (statuses, elsewhere, again) == ([200] * rate + [429], [200, 200], 200)


async def test_rates_are_of_the_time_that_is_simulated(hand: Hand) -> None:
    simulator = Simulator(speed=10, now=hand)
    async with calling(simulator, simulator.add()) as call:
        statuses = []
        for _ in range(3):
            statuses.append((await call("getSettings")).status)
            hand.now += 0.1
    assert statuses == [200, 200, 200]


# Answers that a test asks for


async def test_the_next_answers_are_those_that_were_asked_for(simulator: Simulator) -> None:
    shop = simulator.add()
    shop.message("Hello")
    simulator.answers.next("receiveNotification", status=500, times=2)
    simulator.answers.next("receiveNotification", body="<html>", content_type="text/html")
    async with calling(simulator, shop) as call:
        came = [await call("receiveNotification") for _ in range(4)]
    assert [(each.status, each.text[:7], each.content_type) for each in came] == [
        (500, "", "application/json"),
        (500, "", "application/json"),
        (200, "<html>", "text/html"),
        (200, '{"recei', "application/json"),
    ]


async def test_answers_may_be_for_one_instance(simulator: Simulator) -> None:
    shop, other = simulator.add(token="one"), simulator.add(token="two")
    simulator.answers.next("getStateInstance", status=502, instance=other.id)
    async with calling(simulator, shop) as call:
        assert (await call("getStateInstance")).status == 200
        assert (await call("getStateInstance", id_instance=other.id, token="two")).status == 502


async def test_a_cut_answer_ends_in_the_middle_and_what_was_asked_for_is_done(simulator: Simulator) -> None:
    shop = simulator.add()
    shop.message("Hello")
    simulator.answers.next("deleteNotification", cut=True)
    async with calling(simulator, shop) as call:
        await call("receiveNotification")
        with pytest.raises(ClientError):
            await call("deleteNotification", "/1")
        assert (await call("deleteNotification", "/1")).json["result"] is False
    assert shop.deleted == [1]


async def test_a_late_answer_comes_after_what_was_asked_for_is_done() -> None:
    simulator = Simulator()
    shop = simulator.add()
    simulator.answers.next("sendMessage", delay=3600)
    async with calling(simulator, shop) as call:
        sending = asyncio.create_task(call("sendMessage", chatId=CHAT, message="Hello"))
        await shop.until(lambda shop: shop.sent)
        assert (await call("getStateInstance")).status == 200
        assert not sending.done()
        sending.cancel()


# Waiting in a test


async def test_who_waits_too_long_is_told_how_far_it_came(simulator: Simulator) -> None:
    shop = simulator.add()
    shop.message("Hello")
    with pytest.raises(
        TimeoutError, match=r"instance 1101000001: not so within 0\.01 s; 0 deleted, 1 waiting, 0 sent"
    ):
        await shop.until(lambda shop: shop.deleted, within=0.01)


@pytest.mark.parametrize("speed", [0, -1])
def test_time_goes_forward(speed: float) -> None:
    with pytest.raises(ValueError, match="expected a number above 0"):
        Simulator(speed=speed)


async def test_it_can_be_served_again(simulator: Simulator) -> None:
    shop = simulator.add()
    shop.message("Hello")
    for _ in range(2):
        async with calling(simulator, shop) as call:
            assert (await call("receiveNotification")).json["receiptId"] == 1
