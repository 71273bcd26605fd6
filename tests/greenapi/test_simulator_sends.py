"""The simulator sends: ids, echoes, statuses, and what the journals say of them afterwards."""

from __future__ import annotations

import io
from typing import Any

import pytest
from aiohttp import FormData

from router.greenapi.simulator import Sent, Simulator
from router.validation import Validator
from tests.greenapi.simulated import CHAT, calling, kinds

FAST = 1000.0
BUTTONS = [{"type": "reply", "buttonId": "1", "buttonText": "Yes"}]
SENDS: list[tuple[str, dict[str, Any], str]] = [
    ("sendMessage", {"message": "Hello"}, "extendedTextMessage"),
    ("sendFileByUrl", {"urlFile": "https://shop.example/a.png", "fileName": "a.png"}, "imageMessage"),
    ("sendFileByUrl", {"urlFile": "https://shop.example/a.pdf", "fileName": "a.pdf"}, "documentMessage"),
    ("sendPoll", {"message": "Color?", "options": [{"optionName": "Red"}]}, "pollMessage"),
    ("sendLocation", {"latitude": 12.5, "longitude": -3}, "locationMessage"),
    ("sendContact", {"contact": {"phoneContact": 79001234567, "firstName": "Ann"}}, "contactMessage"),
    ("sendInteractiveButtons", {"body": "Well?", "buttons": BUTTONS}, "interactiveButtons"),
    ("sendInteractiveButtonsReply", {"body": "Well?", "buttons": BUTTONS}, "interactiveButtonsReply"),
]


@pytest.fixture
def simulator() -> Simulator:
    return Simulator(speed=FAST)


@pytest.mark.parametrize(("method", "arguments", "kind"), SENDS)
async def test_a_send_is_answered_echoed_and_followed(
    simulator: Simulator, method: str, arguments: dict[str, Any], kind: str
) -> None:
    shop = simulator.add()
    async with calling(simulator, shop) as call:
        id_message = (await call(method, chatId=CHAT, **arguments)).json["idMessage"]
        await shop.until(lambda shop: len(shop.queue) == 4)
    assert shop.sent == [Sent(method, id_message, CHAT, {"chatId": CHAT, **arguments})]
    assert kinds(shop) == [
        "outgoingAPIMessageReceived",
        "outgoingMessageStatus sent",
        "outgoingMessageStatus delivered",
        "outgoingMessageStatus read",
    ]
    echo, *statuses = shop.queued
    assert (echo["idMessage"], echo["senderData"]["chatId"]) == (id_message, CHAT)
    assert echo["senderData"]["sender"] == echo["instanceData"]["wid"]
    assert echo["messageData"]["typeMessage"] == kind
    assert {(each["idMessage"], each["chatId"], each["sendByApi"]) for each in statuses} == {
        (id_message, CHAT, True)
    }
    validator = Validator()
    assert [validator.problems(each) for each in shop.queued] == [[]] * 4


async def test_an_uploaded_file_is_sent(simulator: Simulator) -> None:
    shop = simulator.add()
    form = FormData({"chatId": CHAT, "caption": "Your invoice"})
    form.add_field("file", io.BytesIO(bytes(3 << 20)), filename="invoice.pdf", content_type="application/pdf")
    async with calling(simulator, shop) as call:
        answer = (await call("sendFileByUpload", data=form)).json
    assert answer == {"idMessage": shop.sent[0].id_message, "urlFile": f"{simulator.url}/files/invoice.pdf"}
    assert shop.sent[0].arguments["file"] == {"name": "invoice.pdf", "size": 3 << 20}
    assert shop.sent[0].text == "Your invoice"
    assert shop.queued[0]["messageData"]["fileMessageData"]["mimeType"] == "application/pdf"


async def test_messages_are_forwarded_each_with_an_id(simulator: Simulator) -> None:
    shop = simulator.add()
    one, two = shop.message("one", CHAT), shop.message("two", CHAT)
    async with calling(simulator, shop) as call:
        there: dict[str, Any] = {"chatId": "7900@c.us", "chatIdFrom": CHAT}
        ids = (await call("forwardMessages", **there, messages=[one, two])).json["messages"]
        missing = await call("forwardMessages", **there, messages=[{"id": "ANOTHER"}])
    assert ids == [sent.id_message for sent in shop.sent]
    texts = [
        each["messageData"]["textMessageData"]["textMessage"] for each in shop.queued if "messageData" in each
    ]
    assert texts == ["one", "two", "one", "two"]
    assert missing.status == 400


async def test_an_answer_quotes(simulator: Simulator) -> None:
    shop = simulator.add()
    async with calling(simulator, shop) as call:
        await call("sendMessage", chatId=CHAT, message="Hello", quotedMessageId="ABC")
    assert shop.queued[0]["messageData"]["quotedMessage"]["stanzaId"] == "ABC"


@pytest.mark.parametrize(
    ("off", "told"),
    [
        ({"outgoingAPIMessageWebhook": "no"}, []),
        ({"outgoingWebhook": "no"}, ["outgoingAPIMessageReceived"]),
    ],
    ids=str,
)
async def test_what_is_told_of_a_send_is_up_to_the_settings(
    simulator: Simulator, off: dict[str, str], told: list[str]
) -> None:
    shop = simulator.add(settings=off)
    async with calling(simulator, shop) as call:
        await call("sendMessage", chatId=CHAT, message="Hello")
        await call("sendMessage", chatId=CHAT, message="Hello again")
        await call("setSettings", outgoingWebhook="yes", outgoingAPIMessageWebhook="yes")
        await shop.until(lambda shop: shop.state == "authorized")
    assert [kind for kind in kinds(shop) if "outgoing" in kind] == told * 2


@pytest.mark.parametrize(
    ("method", "wrong", "details"),
    [
        ("sendMessage", {"message": None}, "'message' is required"),
        ("sendMessage", {"message": ""}, "'message' is required"),
        ("sendMessage", {"message": 7}, "'message' must be a string"),
        ("sendMessage", {"message": "x" * 20_001}, "'message' length must be"),
        ("sendMessage", {"chatId": None}, "'chatId' is required"),
        ("sendMessage", {"chatId": "79001234567"}, "'chatId' must be one of the following formats"),
        ("sendPoll", {"options": []}, "'options' is required"),
        ("sendLocation", {"latitude": True}, "'latitude' must be a number"),
        ("sendContact", {"contact": "Ann"}, "'contact' must be an object"),
        ("sendInteractiveButtons", {"buttons": BUTTONS * 4}, "'buttons' must contain less"),
    ],
)
async def test_a_send_with_wrong_arguments_is_refused(
    simulator: Simulator, method: str, wrong: dict[str, Any], details: str
) -> None:
    right: dict[str, Any] = next(arguments for name, arguments, _ in SENDS if name == method)
    shop = simulator.add()
    async with calling(simulator, shop) as call:
        came = await call(method, **{"chatId": CHAT, **right, **wrong})
    assert came.status == 400
    assert came.text.startswith(f"Validation failed. Details: {details}")
    assert (shop.sent, shop.queued) == ([], [])


async def test_what_is_no_json_is_refused(simulator: Simulator) -> None:
    async with calling(simulator, simulator.add()) as call:
        came = await call("sendMessage", data=b"{half")
    assert (came.status, came.text) == (400, "bad request data")


async def test_without_authorization_nothing_is_sent(simulator: Simulator) -> None:
    shop = simulator.add(state="notAuthorized")
    async with calling(simulator, shop) as call:
        came = await call("sendMessage", chatId=CHAT, message="Hello")
    assert (came.status, came.text, shop.sent) == (400, "instance account not authorized", [])


async def test_max_tells_no_sent_and_has_numbers_for_ids(simulator: Simulator) -> None:
    shop = simulator.add(messenger="v3")
    shop.message("Hello")
    async with calling(simulator, shop) as call:
        id_message = (await call("sendMessage", chatId="10000000", message="Hello")).json["idMessage"]
        await shop.until(lambda shop: len(shop.queue) == 4)
    assert kinds(shop)[2:] == ["outgoingMessageStatus delivered", "outgoingMessageStatus read"]
    assert id_message.isdecimal()
    assert "sendByApi" not in shop.queued[-1]
    assert shop.queued[0]["senderData"]["chatId"] == "10000000"


# Afterwards


async def test_the_journals_have_what_came_and_what_was_sent() -> None:
    simulator = Simulator(speed=1e6)  # a method that may be called once a second is called twice
    shop = simulator.add()
    first = shop.message("first", CHAT)
    shop.sample("incomingCall/wa-pickup.json")
    shop.sample("incomingMessageReceived/wa-poll.json", chat="7900@c.us")
    async with calling(simulator, shop) as call:
        sent = (await call("sendMessage", chatId=CHAT, message="Hello")).json["idMessage"]
        await shop.until(lambda shop: "outgoingMessageStatus read" in kinds(shop))
        incoming = (await call("lastIncomingMessages", query={"minutes": 5})).json
        outgoing = (await call("lastOutgoingMessages")).json
        history = (await call("getChatHistory", chatId=CHAT)).json
        latest = (await call("getChatHistory", chatId=CHAT, count=1)).json
        message = (await call("getMessage", chatId=CHAT, idMessage=first)).json
    assert [each["typeMessage"] for each in incoming] == ["pollMessage", "textMessage"]
    assert {name: incoming[1][name] for name in incoming[1].keys() - {"timestamp"}} == {
        "type": "incoming",
        "idMessage": first,
        "typeMessage": "textMessage",
        "chatId": CHAT,
        "textMessage": "first",
        "senderId": CHAT,
        "senderName": "Ann",
        "senderContactName": "Ann",
    }
    assert [(each["idMessage"], each["textMessage"], each["statusMessage"]) for each in outgoing] == [
        (sent, "Hello", "read")
    ]
    assert [each["idMessage"] for each in history] == [sent, first]
    assert (latest, message) == (history[:1], history[1])


async def test_a_journal_has_the_minutes_that_were_asked_for(simulator: Simulator) -> None:
    shop = simulator.add()
    shop.push(
        {"typeWebhook": "incomingMessageReceived", "timestamp": 1_700_000_000, "senderData": {"chatId": CHAT}}
    )
    shop.push(b"{half")
    shop.push({"typeWebhook": "incomingMessageReceived"})
    shop.push({"typeWebhook": ["incomingMessageReceived"], "timestamp": "now"})
    shop.message("Hello")
    async with calling(simulator, shop) as call:
        records = (await call("lastIncomingMessages")).json
    assert [each["textMessage"] for each in records] == ["Hello"]


async def test_a_message_is_changed_and_deleted_by_its_id(simulator: Simulator) -> None:
    shop = simulator.add()
    async with calling(simulator, shop) as call:
        sent = (await call("sendMessage", chatId=CHAT, message="Helo")).json["idMessage"]
        edited = (await call("editMessage", chatId=CHAT, idMessage=sent, message="Hello")).json["idMessage"]
        await call("deleteMessage", chatId=CHAT, idMessage=sent)
        unknown = await call("getMessage", chatId=CHAT, idMessage="ANOTHER")
    messages = [each["messageData"] for each in shop.queued if "messageData" in each]
    assert edited != sent
    assert messages[1]["editedMessageData"] == {"textMessage": "Hello", "stanzaId": sent}
    assert messages[2]["deletedMessageData"] == {"stanzaId": sent}
    assert unknown.status == 400


async def test_a_file_can_be_asked_for(simulator: Simulator) -> None:
    shop = simulator.add()
    shop.sample("incomingMessageReceived/docs-image-1.json", chat=CHAT)
    image = shop.queued[0]
    async with calling(simulator, shop) as call:
        came = await call("downloadFile", chatId=CHAT, idMessage=image["idMessage"])
        text = await call("downloadFile", chatId=CHAT, idMessage=shop.message("no file", CHAT))
    assert came.json == {"downloadUrl": image["messageData"]["fileMessageData"]["downloadUrl"]}
    assert text.status == 400


@pytest.mark.parametrize(
    ("method", "arguments", "answer"),
    [
        ("readChat", {"chatId": CHAT}, {"setRead": True}),
        ("sendTyping", {"chatId": CHAT, "typingTime": 1000}, {}),
        ("checkWhatsapp", {"phoneNumber": 79001234567}, {"existsWhatsapp": True}),
    ],
)
async def test_other_methods_are_answered(
    simulator: Simulator, method: str, arguments: dict[str, Any], answer: dict[str, Any]
) -> None:
    async with calling(simulator, simulator.add()) as call:
        assert (await call(method, **arguments)).json == answer
        assert (await call(method)).status == 400
