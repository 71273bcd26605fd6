"""Methods that send: each turns its arguments into the message that its echo shows."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable

from router.events import JsonObject
from router.greenapi.simulator.account import Account
from router.greenapi.simulator.answers import Answer, invalid, json, refused
from router.greenapi.simulator.call import Call, Method

#: Characters of a text that WhatsApp takes.
_LONGEST = 20_000
_NOT_READY = {"starting": "instance in starting process try later"}
_UNFORWARDED: JsonObject = {"forwardingScore": 0, "isForwarded": False}
#: How the id of a WhatsApp chat ends.
_CHATS = ("@c.us", "@g.us", "@lid")


def message(call: Call) -> JsonObject:
    """Return the message that sendMessage sends."""
    text = call.text("message")
    if len(text) > _LONGEST:
        raise invalid(f"'message' length must be less than or equal to {_LONGEST} characters long")
    data = {"text": text, "description": "", "title": "", "previewType": "None", "jpegThumbnail": ""}
    return {"typeMessage": "extendedTextMessage", "extendedTextMessageData": {**data, **_UNFORWARDED}}


def file_by_url(call: Call) -> JsonObject:
    """Return the message that sendFileByUrl sends."""
    return _file(call.text("urlFile"), call.text("fileName"), call)


def file_by_upload(call: Call) -> JsonObject:
    """Return the message that sendFileByUpload sends."""
    name = call.text("fileName") if "fileName" in call.arguments else call.object("file")["name"]
    return _file(f"{call.url}/files/{name}", name, call)


def poll(call: Call) -> JsonObject:
    """Return the message that sendPoll sends."""
    data = {
        "name": call.text("message"),
        "options": call.list("options"),
        "multipleAnswers": bool(call.arguments.get("multipleAnswers")),
    }
    return {"typeMessage": "pollMessage", "pollMessageData": data}


def location(call: Call) -> JsonObject:
    """Return the message that sendLocation sends."""
    data = {
        "nameLocation": call.arguments.get("nameLocation", ""),
        "address": call.arguments.get("address", ""),
        "latitude": call.number("latitude"),
        "longitude": call.number("longitude"),
        "jpegThumbnail": "",
    }
    return {"typeMessage": "locationMessage", "locationMessageData": {**data, **_UNFORWARDED}}


def contact(call: Call) -> JsonObject:
    """Return the message that sendContact sends."""
    given = call.object("contact")
    names = (str(given.get(name, "")) for name in ("firstName", "middleName", "lastName"))
    name = " ".join(filter(None, names)) or str(given.get("company", ""))
    vcard = f"BEGIN:VCARD\nVERSION:3.0\nFN:{name}\nTEL:+{given.get('phoneContact', '')}\nEND:VCARD"
    return {
        "typeMessage": "contactMessage",
        "contactMessageData": {"displayName": name, "vcard": vcard, **_UNFORWARDED},
    }


def buttons(call: Call) -> JsonObject:
    """Return the message that sendInteractiveButtons sends."""
    return _buttons("interactiveButtons", call)


def buttons_reply(call: Call) -> JsonObject:
    """Return the message that sendInteractiveButtonsReply sends."""
    return _buttons("interactiveButtonsReply", call)


async def forward_messages(account: Account, call: Call) -> Answer:
    """Send again what was in a chat."""
    chat, source = _chat(account, call), call.text("chatIdFrom")
    _check_ready(account)
    known = {
        record["idMessage"]: data for record, data in account.journal.messages() if record["chatId"] == source
    }
    wanted = [str(each) for each in call.list("messages")]
    if missing := [each for each in wanted if each not in known]:
        raise refused(f"message {missing[0]} not found in chat {source}")
    ids = [account.send("forwardMessages", chat, call.arguments, known[each]) for each in wanted]
    return json({"messages": ids})


def sends(make: Callable[[Call], JsonObject]) -> Method:
    """Return the method that sends a message which is made of its arguments."""

    async def method(account: Account, call: Call) -> Answer:
        chat, made = _chat(account, call), _quoting(make(call), account, call)
        _check_ready(account)
        id_message = account.send(call.method, chat, call.arguments, made)
        uploaded = made["fileMessageData"]["downloadUrl"] if "file" in call.arguments else None
        return json({"idMessage": id_message, **({"urlFile": uploaded} if uploaded else {})})

    return method


def _chat(account: Account, call: Call) -> str:
    chat = call.text("chatId")
    if account.messenger == "whatsapp" and not chat.endswith(_CHATS):
        raise invalid("'chatId' must be one of the following formats: 'phone_number@c.us' or 'group_id@g.us'")
    return chat


def _check_ready(account: Account) -> None:
    if account.state != "authorized":
        raise refused(_NOT_READY.get(account.state, "instance account not authorized"))


def _quoting(made: JsonObject, account: Account, call: Call) -> JsonObject:
    quoted = call.arguments.get("quotedMessageId")
    return {**made, "quotedMessage": {"stanzaId": quoted, "participant": account.wid}} if quoted else made


def _file(url: str, name: str, call: Call) -> JsonObject:
    mime = mimetypes.guess_type(name)[0] or "application/octet-stream"
    family = mime.partition("/")[0]
    kind = family if family in {"image", "video", "audio"} else "document"
    caption = call.arguments.get("caption", "")
    data = {"downloadUrl": url, "caption": caption, "fileName": name, "jpegThumbnail": "", "mimeType": mime}
    return {"typeMessage": f"{kind}Message", "fileMessageData": {**data, **_UNFORWARDED}}


def _buttons(kind: str, call: Call) -> JsonObject:
    data = {
        "titleText": call.arguments.get("header", ""),
        "contentText": call.text("body"),
        "footerText": call.arguments.get("footer", ""),
        "buttons": call.list("buttons"),
    }
    if len(data["buttons"]) > 3:
        raise invalid("'buttons' must contain less than or equal to 3 items")
    return {"typeMessage": kind, kind: data}


METHODS: dict[str, Method] = {
    "sendMessage": sends(message),
    "sendFileByUrl": sends(file_by_url),
    "sendFileByUpload": sends(file_by_upload),
    "sendPoll": sends(poll),
    "sendLocation": sends(location),
    "sendContact": sends(contact),
    "sendInteractiveButtons": sends(buttons),
    "sendInteractiveButtonsReply": sends(buttons_reply),
    "forwardMessages": forward_messages,
}
