"""Notifications as GREEN-API makes them: of an instance, of now, each with an id of its own."""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson

from router.events import JsonObject


@dataclass(frozen=True, slots=True)
class Whose:
    """The instance that a notification is of."""

    id: int
    #: Its account in the messenger; empty while that is not authorized.
    wid: str
    #: ``whatsapp``, ``telegram`` or ``v3``, which is MAX.
    messenger: str


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat, or the person it is with."""

    id: str
    name: str


def new_id(messenger: str, random: Random) -> str:
    """Return an ``idMessage`` in the messenger's form."""
    return (
        f"{random.getrandbits(80):020X}" if messenger == "whatsapp" else str(random.randrange(10**17, 10**18))
    )


def incoming(whose: Whose, id_message: str, chat: Chat, sender: Chat, message: JsonObject) -> JsonObject:
    """Return what tells of a message that came in."""
    return {
        **_envelope(whose, "incomingMessageReceived"),
        "idMessage": id_message,
        "senderData": _sender_data(chat, sender),
        "messageData": message,
    }


def echo(whose: Whose, id_message: str, chat: str, message: JsonObject) -> JsonObject:
    """Return what tells of a message that was sent through the API."""
    me = Chat(whose.wid, "Simulated account")
    return {
        **_envelope(whose, "outgoingAPIMessageReceived"),
        "idMessage": id_message,
        "senderData": _sender_data(Chat(chat, chat.partition("@")[0]), me),
        "messageData": message,
    }


def status(whose: Whose, id_message: str, chat: str, value: str) -> JsonObject:
    """Return what tells that a message sent through the API has come further."""
    by_api = {} if whose.messenger == "v3" else {"sendByApi": True}
    return {
        **_envelope(whose, "outgoingMessageStatus"),
        "chatId": chat,
        "idMessage": id_message,
        "status": value,
        **by_api,
    }


def state_changed(whose: Whose, value: str) -> JsonObject:
    """Return what tells of the instance's state."""
    return {**_envelope(whose, "stateInstanceChanged"), "stateInstance": value}


def text(words: str) -> JsonObject:
    """Return the ``messageData`` of a text."""
    return {"typeMessage": "textMessage", "textMessageData": {"textMessage": words}}


def fresh(sample: bytes, whose: Whose, id_message: str, chat: Chat) -> JsonObject:
    """Return a sample as if it had just happened in a chat of the instance."""
    body: JsonObject = orjson.loads(sample)
    body |= {"timestamp": int(time.time()), "instanceData": _instance_data(whose)}
    for place, value in (("idMessage", id_message), ("chatId", chat.id), ("from", chat.id)):
        if place in body:
            body[place] = value
    if isinstance(body.get("senderData"), dict):
        body["senderData"] |= _people(body, whose, chat)
    return body


def _people(body: JsonObject, whose: Whose, chat: Chat) -> JsonObject:
    """Return what a sample says of people anew, as far as it does."""
    me = Chat(whose.wid, "Simulated account")
    sender = me if str(body["typeWebhook"]).startswith("outgoing") else chat
    new = {**_sender_data(chat, sender), "senderPhoneNumber": 0}
    return {name: new[name] for name in new.keys() & body["senderData"].keys()}


def _sender_data(chat: Chat, sender: Chat) -> dict[str, Any]:
    return {
        "chatId": chat.id,
        "chatName": chat.name,
        "sender": sender.id,
        "senderName": sender.name,
        "senderContactName": sender.name,
    }


def _envelope(whose: Whose, kind: str) -> JsonObject:
    return {"typeWebhook": kind, "instanceData": _instance_data(whose), "timestamp": int(time.time())}


def _instance_data(whose: Whose) -> JsonObject:
    return {"idInstance": whose.id, "wid": whose.wid, "typeInstance": whose.messenger}
