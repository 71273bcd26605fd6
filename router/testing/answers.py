"""What GREEN-API answers, and how it says that something is wrong.

Source of the answers: GREEN-API's documentation, the page of each method. A method whose answer depends
on more than its arguments is not here; a test says what it answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from router.errors import (
    BadAnswer,
    BadRequest,
    GreenApiError,
    InstanceGone,
    InstanceNotReady,
    QuotaExceeded,
    RateLimited,
    ServerError,
    Unauthorized,
    UnknownInstance,
    WebhookUrlIsSet,
)
from router.greenapi.answers import Answer

#: Makes an answer of the arguments and of an id that no other answer has.
_Make = Callable[[Mapping[str, Any], str], object]

#: What a method cannot do without.
REQUIRED = {
    "sendMessage": ("chatId", "message"),
    "sendFileByUrl": ("chatId", "urlFile", "fileName"),
    "sendFileByUpload": ("chatId", "file"),
    "sendPoll": ("chatId", "message", "options"),
    "sendLocation": ("chatId", "latitude", "longitude"),
    "sendContact": ("chatId", "contact"),
    "sendInteractiveButtons": ("chatId", "body", "buttons"),
    "sendInteractiveButtonsReply": ("chatId", "body", "buttons"),
    "forwardMessages": ("chatId", "chatIdFrom", "messages"),
    "sendTyping": ("chatId",),
    "readChat": ("chatId",),
    "downloadFile": ("chatId", "idMessage"),
    "editMessage": ("chatId", "idMessage", "message"),
    "deleteMessage": ("chatId", "idMessage"),
    "checkWhatsapp": ("phoneNumber",),
}


def _always(answer: object) -> _Make:
    return lambda _, __: answer


def _id_message(_: Mapping[str, Any], new_id: str) -> object:
    return {"idMessage": new_id}


def _upload(arguments: Mapping[str, Any], new_id: str) -> object:
    return {"idMessage": new_id, "urlFile": f"https://files.example.com/{arguments['file']}"}


def _forwarded(arguments: Mapping[str, Any], new_id: str) -> object:
    return {"messages": [f"{new_id}{number:02X}" for number, _ in enumerate(arguments["messages"])]}


def _download(arguments: Mapping[str, Any], _: str) -> object:
    return {"downloadUrl": f"https://files.example.com/{arguments['idMessage']}"}


_SETTINGS = {
    "wid": "79009999999@c.us",
    "typeInstance": "whatsapp",
    "webhookUrl": "",
    "webhookUrlToken": "",
    "delaySendMessagesMilliseconds": 1000,
    **dict.fromkeys(
        (
            "markIncomingMessagesReaded",
            "markIncomingMessagesReadedOnReply",
            "outgoingWebhook",
            "outgoingMessageWebhook",
            "outgoingAPIMessageWebhook",
            "incomingWebhook",
            "stateWebhook",
            "pollMessageWebhook",
            "incomingCallWebhook",
            "editedMessageWebhook",
            "deletedMessageWebhook",
            "incomingBlockWebhook",
            "deviceWebhook",
            "statusInstanceWebhook",
            "keepOnlineStatus",
        ),
        "no",
    ),
}

#: Method → its answer.
ANSWERS: dict[str, _Make] = {
    **dict.fromkeys(
        (
            "sendMessage",
            "sendFileByUrl",
            "sendPoll",
            "sendLocation",
            "sendContact",
            "sendInteractiveButtons",
            "sendInteractiveButtonsReply",
            "sendButtons",
            "sendListMessage",
            "sendTemplateButtons",
            "sendLink",
            "sendTextStatus",
            "sendVoiceStatus",
            "sendMediaStatus",
            "editMessage",
        ),
        _id_message,
    ),
    "sendFileByUpload": _upload,
    "forwardMessages": _forwarded,
    "downloadFile": _download,
    "sendTyping": _always({}),
    "deleteMessage": _always({}),
    "readChat": _always({"setRead": True}),
    "checkWhatsapp": _always({"existsWhatsapp": True}),
    "getAvatar": _always({"urlAvatar": "", "available": True}),
    "receiveNotification": _always(None),
    "deleteNotification": _always({"result": True, "reason": ""}),
    "getSettings": _always(_SETTINGS),
    "setSettings": _always({"saveSettings": True}),
    "getStateInstance": _always({"stateInstance": "authorized"}),
    "getStatusInstance": _always({"statusInstance": "online"}),
    "reboot": _always({"isReboot": True}),
    "logout": _always({"isLogout": True}),
    "createGroup": _always({"created": True, "chatId": "120363043968066561@g.us", "groupInviteLink": ""}),
    "updateGroupName": _always({"updateGroupName": True}),
    "addGroupParticipant": _always({"addParticipant": True}),
    "removeGroupParticipant": _always({"removeParticipant": True}),
    "setGroupAdmin": _always({"setGroupAdmin": True}),
    "removeAdmin": _always({"removeAdmin": True}),
    "leaveGroup": _always({"leaveGroup": True}),
    **dict.fromkeys(
        (
            "getChatHistory",
            "lastIncomingMessages",
            "lastOutgoingMessages",
            "lastIncomingCalls",
            "lastOutgoingCalls",
            "getOutgoingStatuses",
            "getIncomingStatuses",
            "getStatusStatistic",
            "showMessagesQueue",
            "getContacts",
        ),
        _always([]),
    ),
}


def json(value: object) -> Answer:
    """Answer with a JSON document."""
    return Answer(200, orjson.dumps(value))


def invalid(details: str) -> Answer:
    """Refuse arguments, as GREEN-API does."""
    return Answer(400, f"Validation failed. Details: {details}".encode())


#: Error → the answer that means it.
MEANING: dict[type[GreenApiError], Answer] = {
    BadRequest: invalid("'chatId' must be one of the following formats: 'phone_number@c.us'"),
    RateLimited: Answer(429, b"<html><head><title>429 Too Many Requests</title></head></html>"),
    QuotaExceeded: Answer(466, b'{"invokeStatus": {"description": "Monthly quota has been exceeded"}}'),
    Unauthorized: Answer(401, b""),
    UnknownInstance: Answer(404, b"<html><head><title>404 Not Found</title></head></html>"),
    ServerError: Answer(502, b"<html><head><title>502 Bad Gateway</title></head></html>"),
    BadAnswer: Answer(200, b"<html><head><title>Welcome</title></head></html>"),
    InstanceNotReady: Answer(400, b"instance account not authorized"),
    InstanceGone: Answer(400, b"instance is deleted"),
    WebhookUrlIsSet: Answer(400, b"webhook url is set"),
}
