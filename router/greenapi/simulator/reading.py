"""Methods about messages that are there: the journals, marks, changes, files, and who has an account."""

from __future__ import annotations

import time

from router.events import JsonObject
from router.greenapi.simulator.account import Account
from router.greenapi.simulator.answers import Answer, json, refused
from router.greenapi.simulator.call import Call, Method

#: How many minutes a journal may be asked for.
_MINUTES = range(1, 10_000_000)
_A_DAY = 24 * 60


async def last_incoming_messages(account: Account, call: Call) -> Answer:
    """List what came in, newest first."""
    return _last("incoming", account, call)


async def last_outgoing_messages(account: Account, call: Call) -> Answer:
    """List what was sent, newest first."""
    return _last("outgoing", account, call)


async def get_chat_history(account: Account, call: Call) -> Answer:
    """List the messages of a chat, newest first."""
    chat = call.text("chatId")
    count = int(call.number("count")) if "count" in call.arguments else 100
    return json([record for record in account.journal.records() if record["chatId"] == chat][:count])


async def get_message(account: Account, call: Call) -> Answer:
    """Show one message."""
    return json(_message(account, call))


async def download_file(account: Account, call: Call) -> Answer:
    """Tell where the file of a message is."""
    url = _message(account, call).get("downloadUrl")
    if not url:
        raise refused("file not found")
    return json({"downloadUrl": url})


async def edit_message(account: Account, call: Call) -> Answer:
    """Change the text of a message that was sent."""
    message, words = _message(account, call), call.text("message")
    data = {"textMessage": words, "stanzaId": message["idMessage"]}
    made = {"typeMessage": "editedMessage", "editedMessageData": data}
    return json({"idMessage": account.send("editMessage", message["chatId"], call.arguments, made)})


async def delete_message(account: Account, call: Call) -> Answer:
    """Delete a message."""
    message = _message(account, call)
    data = {"stanzaId": message["idMessage"]}
    made = {"typeMessage": "deletedMessage", "deletedMessageData": data}
    account.send("deleteMessage", message["chatId"], call.arguments, made)
    return json({})


async def read_chat(account: Account, call: Call) -> Answer:
    """Mark the messages of a chat as read."""
    account.tell(f"readChat {call.text('chatId')}")
    return json({"setRead": True})


async def send_typing(account: Account, call: Call) -> Answer:
    """Show in a chat that somebody is typing."""
    account.tell(f"sendTyping to {call.text('chatId')}")
    return json({})


async def check_whatsapp(_: Account, call: Call) -> Answer:
    """Tell whether a number has an account: here everybody has."""
    call.number("phoneNumber")
    return json({"existsWhatsapp": True})


def _last(kind: str, account: Account, call: Call) -> Answer:
    since = time.time() - 60 * call.seconds("minutes", _A_DAY, _MINUTES)
    records = (record for record in account.journal.records() if record["type"] == kind)
    return json([record for record in records if record["timestamp"] >= since])


def _message(account: Account, call: Call) -> JsonObject:
    chat, id_message = call.text("chatId"), call.text("idMessage")
    for record in account.journal.records():
        if (record["chatId"], record["idMessage"]) == (chat, id_message):
            return record
    raise refused(f"message {id_message} not found in chat {chat}")


METHODS: dict[str, Method] = {
    "lastIncomingMessages": last_incoming_messages,
    "lastOutgoingMessages": last_outgoing_messages,
    "getChatHistory": get_chat_history,
    "getMessage": get_message,
    "downloadFile": download_file,
    "editMessage": edit_message,
    "deleteMessage": delete_message,
    "readChat": read_chat,
    "sendTyping": send_typing,
    "checkWhatsapp": check_whatsapp,
}
