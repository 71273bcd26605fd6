"""The recording GREEN-API: the real client in front of answers that a test decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from router import errors
from router.events import JsonObject
from router.greenapi import methods
from router.greenapi.client import InstanceApi
from router.testing import Failed, RecordingGreenApi, Sent
from router.testing.answers import ANSWERS, MEANING, REQUIRED

CHAT = "79001234567@c.us"
SHOP, OFFICE = 1101000001, 1101000002


@pytest.fixture
async def api() -> AsyncIterator[RecordingGreenApi]:
    async with RecordingGreenApi() as api:
        yield api


@pytest.fixture
def shop(api: RecordingGreenApi) -> InstanceApi:
    return api.instance(SHOP)


async def test_what_is_sent_is_kept_in_order_with_its_instance(
    api: RecordingGreenApi, shop: InstanceApi
) -> None:
    first = await shop.send_message(CHAT, "Hello", quoted="Q1")
    second = await api.instance(OFFICE).call(
        "sendPoll", chatId=CHAT, message="?", options=({"optionName": "a"},)
    )
    assert api.sent == [
        Sent(SHOP, "sendMessage", {"chatId": CHAT, "message": "Hello", "quotedMessageId": "Q1"}),
        Sent(OFFICE, "sendPoll", {"chatId": CHAT, "message": "?", "options": [{"optionName": "a"}]}),
    ]
    assert first != second["idMessage"]
    assert api.failed == []


async def test_a_change_of_what_was_sent_changes_nothing_that_is_kept(
    api: RecordingGreenApi, shop: InstanceApi
) -> None:
    options = [{"optionName": "a"}]
    await shop.call("sendPoll", chatId=CHAT, message="?", options=options)
    options.clear()
    assert api.sent[0].arguments["options"] == [{"optionName": "a"}]


async def test_many_sends_do_not_wait_for_each_other(api: RecordingGreenApi, shop: InstanceApi) -> None:
    asyncio.get_running_loop().time = lambda: 0.0  # type: ignore[method-assign]
    try:
        for number in range(200):
            await shop.send_message(CHAT, str(number))
    finally:
        del asyncio.get_running_loop().time
    assert len(api.sent) == 200


async def test_the_client_has_its_methods(api: RecordingGreenApi, shop: InstanceApi, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"png")
    assert await shop.get_state() == "authorized"
    assert (await shop.get_settings())["incomingWebhook"] == "no"
    await shop.set_settings({"incomingWebhook": "yes"})
    assert await shop.last_incoming_messages(5) == []
    assert await shop.receive_notification(5) is None
    assert await shop.delete_notification(7) is True
    assert await shop.send_file_by_url(CHAT, "https://example.com/a.png", "a.png")
    assert await shop.send_file_by_upload(CHAT, tmp_path / "a.png", caption="A")
    assert await shop.send_location(CHAT, 1.5, 0)
    assert await shop.send_contact(CHAT, {"phoneContact": 1})
    assert await shop.send_poll(CHAT, "?", ["a", "b"])
    assert await shop.send_interactive_buttons(CHAT, "?", [{"type": "reply"}])
    assert len(set(await shop.forward_messages(CHAT, CHAT, ["1", "2"]))) == 2
    await shop.read_chat(CHAT)
    assert await shop.download_file(CHAT, "M1") == "https://files.example.com/M1"
    assert api.sent[5].arguments == {"receiptId": 7}
    assert api.sent[7].arguments == {"chatId": CHAT, "fileName": "a.png", "caption": "A", "file": "a.png"}
    assert api.failed == []


@pytest.mark.parametrize("method", ANSWERS)
def test_every_method_that_is_answered_is_one_of_green_apis(method: str) -> None:
    assert method in methods._METHODS


def test_what_is_required_is_required_of_a_method_that_is_answered() -> None:
    assert set(REQUIRED) <= set(ANSWERS)


async def test_a_misspelt_method_says_what_was_meant(api: RecordingGreenApi, shop: InstanceApi) -> None:
    with pytest.raises(LookupError) as caught:
        await shop.call("sendMesage", chatId=CHAT)
    assert str(caught.value) == (
        "no answer of sendMesage is known here; did you mean 'sendMessage'?; "
        "if it is the right one, say what it answers: api.answer('sendMesage', …)"
    )
    assert [(failed.method, failed.error) for failed in api.failed] == [("sendMesage", caught.value)]


@pytest.mark.parametrize("method", REQUIRED)
async def test_a_missing_argument_is_refused_as_green_api_does(
    api: RecordingGreenApi, shop: InstanceApi, method: str
) -> None:
    given: JsonObject = dict.fromkeys(REQUIRED[method][1:], "x")
    with pytest.raises(errors.BadRequest, match=f"'{REQUIRED[method][0]}' is required"):
        await shop.call(method, **given)
    assert api.sent == []
    assert [(failed.method, failed.arguments) for failed in api.failed] == [(method, given)]


async def test_what_cannot_be_sent_is_not_sent(
    api: RecordingGreenApi, shop: InstanceApi, tmp_path: Path
) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        await shop.call("sendMessage", chatId=CHAT, message=object())
    with pytest.raises(FileNotFoundError):
        await shop.send_file_by_upload(CHAT, tmp_path / "missing.png")
    assert api.sent == []


async def test_a_test_says_what_is_answered_next(api: RecordingGreenApi, shop: InstanceApi) -> None:
    api.answer("getStateInstance", {"stateInstance": "notAuthorized"})
    api.answer("getStateInstance", {"stateInstance": "blocked"}, times=2)
    assert [await shop.get_state() for _ in range(4)] == ["notAuthorized", "blocked", "blocked", "authorized"]


async def test_an_answer_may_stand_until_another_one_does(api: RecordingGreenApi, shop: InstanceApi) -> None:
    api.answer("getContactInfo", {"name": "Anna"}, times=None)
    api.answer("getContactInfo", {"name": "once"})
    names = [(await shop.call("getContactInfo", chatId=CHAT))["name"] for _ in range(3)]
    assert names == ["once", "Anna", "Anna"]


async def test_an_answer_may_be_made_of_the_arguments(api: RecordingGreenApi, shop: InstanceApi) -> None:
    api.answer("sendMessage", lambda arguments: {"idMessage": arguments["message"].upper()})
    assert await shop.send_message(CHAT, "hello") == "HELLO"


async def test_an_answer_may_be_of_one_instance_only(api: RecordingGreenApi, shop: InstanceApi) -> None:
    api.answer("getStateInstance", {"stateInstance": "blocked"}, instance=OFFICE)
    assert (await shop.get_state(), await api.instance(OFFICE).get_state()) == ("authorized", "blocked")


async def test_a_standing_answer_may_be_of_one_instance_only(
    api: RecordingGreenApi, shop: InstanceApi
) -> None:
    api.answer("getStateInstance", {"stateInstance": "blocked"}, times=None, instance=SHOP)
    api.answer("getStateInstance", {"stateInstance": "starting"}, times=None)
    states = [await shop.get_state(), await api.instance(OFFICE).get_state(), await shop.get_state()]
    assert states == ["blocked", "starting", "blocked"]


@pytest.mark.parametrize("error", MEANING)
async def test_an_error_is_what_the_client_makes_of_green_apis_answer(
    api: RecordingGreenApi, shop: InstanceApi, error: type[errors.GreenApiError]
) -> None:
    api.answer("sendMessage", error, times=None)
    with pytest.raises(error) as caught:
        await without_waiting(shop.send_message(CHAT, "Hello"))
    assert (caught.value.instance, caught.value.method, api.sent) == (SHOP, "sendMessage", [])
    assert {type(failed.error) for failed in api.failed} == {error}


async def without_waiting(sending: Any) -> None:
    """Let the loop's timers fire at once."""
    loop = asyncio.get_running_loop()
    real = loop.call_at
    loop.call_at = lambda when, *args, **kw: real(0, *args, **kw)  # type: ignore[method-assign]
    try:
        await sending
    finally:
        del loop.call_at


async def test_a_send_is_repeated_only_if_nothing_was_done(api: RecordingGreenApi, shop: InstanceApi) -> None:
    api.answer("sendMessage", errors.RateLimited, times=2)
    await without_waiting(shop.send_message(CHAT, "Hello"))
    assert ([sent.method for sent in api.sent], len(api.failed)) == (["sendMessage"], 2)
    api.answer("sendMessage", errors.ServerError)
    with pytest.raises(errors.ServerError):
        await shop.send_message(CHAT, "Hello")


async def test_no_answer_means_that_nothing_was_sent(api: RecordingGreenApi, shop: InstanceApi) -> None:
    api.answer("sendMessage", errors.NoAnswer, times=None)
    with pytest.raises(errors.NoAnswer) as caught:
        await without_waiting(shop.send_message(CHAT, "Hello"))
    assert (caught.value.was_sent, api.sent, len(api.failed)) == (False, [], 3)


async def test_a_lost_answer_means_that_it_was_sent_all_the_same(
    api: RecordingGreenApi, shop: InstanceApi
) -> None:
    api.lose_answer("sendMessage")
    with pytest.raises(errors.NoAnswer) as caught:
        await shop.send_message(CHAT, "Hello")
    assert (caught.value.was_sent, [sent.arguments["message"] for sent in api.sent]) == (True, ["Hello"])
    await shop.send_message(CHAT, "Again")
    assert len(api.sent) == 2


async def test_an_exception_of_ones_own_is_raised_as_it_is(api: RecordingGreenApi, shop: InstanceApi) -> None:
    gone = errors.InstanceGone(SHOP, "sendMessage", "instance is deleted", status=400)
    api.answer("sendMessage", gone)
    with pytest.raises(errors.InstanceGone) as caught:
        await shop.send_message(CHAT, "Hello")
    assert caught.value is gone
    api.answer("sendMessage", KeyError)
    with pytest.raises(KeyError):
        await shop.send_message(CHAT, "Hello")
    assert [type(failed.error) for failed in api.failed] == [errors.InstanceGone, KeyError]


async def test_what_failed_says_what_was_asked(api: RecordingGreenApi, shop: InstanceApi) -> None:
    api.answer("sendMessage", errors.QuotaExceeded)
    with pytest.raises(errors.QuotaExceeded, match="466: Monthly quota"):
        await shop.send_message(CHAT, "Hello")
    (failed,) = api.failed
    assert failed == Failed(SHOP, "sendMessage", {"chatId": CHAT, "message": "Hello"}, failed.error)
