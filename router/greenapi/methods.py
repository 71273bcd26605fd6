"""The methods of GREEN-API's HTTP API, and how each may be called.

Source of the rates: GREEN-API's documentation, page "Rate limiter"; verbs and hosts: its page of each
method and its client ``whatsapp-api-client-python`` 0.0.55.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Method:
    """How a method is called."""

    name: str
    #: ``GET`` with arguments in the query, ``POST`` with a JSON object, or ``DELETE``.
    verb: str
    #: Requests that GREEN-API takes from an instance in a second; it answers 429 to more.
    per_second: float
    #: Whether a second call does no harm where it is not known what became of the first.
    is_repeatable: bool
    #: Seconds until an answer has to be there.
    timeout: float = 30.0
    #: Whether it is on the host for files.
    is_media: bool = False


def find(name: str) -> Method:
    """Return the method of that name. One that is not known here is called with ``POST``, and once only."""
    return _METHODS.get(name) or Method(name, "POST", per_second=1, is_repeatable=False)


def _read(name: str, per_second: float, verb: str = "GET") -> Method:
    return Method(name, verb, per_second, is_repeatable=True)


def _do(name: str, per_second: float, verb: str = "POST") -> Method:
    return Method(name, verb, per_second, is_repeatable=False)


_METHODS = {
    method.name: method
    for method in [
        # Notifications
        _read("receiveNotification", 100),
        Method("deleteNotification", "DELETE", 100, is_repeatable=True),
        _read("getWebhooksCount", 1),
        _do("clearWebhooksQueue", 1, "DELETE"),
        # The instance
        _read("getSettings", 1),
        Method("setSettings", "POST", 1, is_repeatable=True),
        _read("getStateInstance", 1),
        _read("getStatusInstance", 1),
        _read("getWaSettings", 1),
        _read("getAccountSettings", 1),
        _read("getDeviceInfo", 1),
        _do("reboot", 1, "GET"),
        _do("logout", 1, "GET"),
        _do("qr", 3, "GET"),
        _do("getAuthorizationCode", 1),
        _do("setProfilePicture", 0.1),
        _do("updateApiToken", 1, "GET"),
        # Sending
        *(
            _do(name, 50)
            for name in (
                "sendMessage",
                "sendPoll",
                "sendLocation",
                "sendContact",
                "sendInteractiveButtons",
                "sendInteractiveButtonsReply",
                "forwardMessages",
                "sendButtons",
                "sendListMessage",
                "sendTemplateButtons",
                "sendLink",
            )
        ),
        Method("sendFileByUrl", "POST", 50, is_repeatable=False, timeout=180.0),
        Method("sendFileByUpload", "POST", 50, is_repeatable=False, timeout=600.0, is_media=True),
        _do("sendTextStatus", 50),
        _do("sendVoiceStatus", 50),
        _do("sendMediaStatus", 50),
        _do("deleteStatus", 50),
        Method("sendTyping", "POST", 10, is_repeatable=True),
        _do("editMessage", 1),
        _do("deleteMessage", 10),
        # Reading
        Method("readChat", "POST", 10, is_repeatable=True),
        _read("downloadFile", 5, "POST"),
        _read("getMessage", 1, "POST"),
        _read("getChatHistory", 1, "POST"),
        _read("lastIncomingMessages", 1),
        _read("lastOutgoingMessages", 1),
        _read("lastIncomingCalls", 1),
        _read("lastOutgoingCalls", 1),
        _read("getOutgoingStatuses", 1),
        _read("getIncomingStatuses", 1),
        _read("getStatusStatistic", 1),
        _read("showMessagesQueue", 1),
        _read("getMessagesCount", 1),
        _do("clearMessagesQueue", 1, "GET"),
        # Contacts, chats and groups
        _read("checkWhatsapp", 10, "POST"),
        _read("getAvatar", 10, "POST"),
        _read("getContacts", 1),
        _read("getContactInfo", 1, "POST"),
        _do("addContact", 1),
        _do("editContact", 1),
        _do("deleteContact", 1),
        _do("archiveChat", 1),
        _do("unarchiveChat", 1),
        _do("setDisappearingChat", 1),
        _do("createGroup", 1),
        _do("updateGroupName", 1),
        _do("updateGroupSettings", 1),
        _read("getGroupData", 1, "POST"),
        _do("addGroupParticipant", 10),
        _do("removeGroupParticipant", 10),
        _do("setGroupAdmin", 10),
        _do("removeAdmin", 10),
        _do("setGroupPicture", 1),
        _do("leaveGroup", 1),
    ]
}
