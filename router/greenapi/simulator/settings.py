"""The settings of one instance, and what they keep from its queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.events import JsonObject
from router.greenapi.flags import MESSAGE_FLAGS, TYPE_FLAGS

#: "yes" or "no".
_FLAGS = (
    "markIncomingMessagesReaded",
    "markIncomingMessagesReadedOnReply",
    "outgoingWebhook",
    "outgoingMessageWebhook",
    "outgoingAPIMessageWebhook",
    "incomingWebhook",
    "stateWebhook",
    "pollMessageWebhook",
    "incomingCallWebhook",
    "outgoingCallWebhook",
    "editedMessageWebhook",
    "deletedMessageWebhook",
    "incomingBlockWebhook",
    "deviceWebhook",
    "statusInstanceWebhook",
    "keepOnlineStatus",
    "enableMessagesHistory",
)
#: In a new instance of GREEN-API all are off. Here those of notifications are on: one wants to see some.
_DEFAULTS: JsonObject = {
    "webhookUrl": "",
    "webhookUrlToken": "",
    "delaySendMessagesMilliseconds": 1000,
    **{name: "yes" if name.endswith("Webhook") else "no" for name in _FLAGS},
}
#: These statuses are told whatever the settings say.
_ALWAYS_TOLD = {"noAccount", "failed"}
#: Milliseconds between two messages that GREEN-API sends.
_DELAYS = range(500, 600_001)


class Settings:
    """Settings as ``getSettings`` tells them; a change makes new ones.

    Raises:
        ValueError: There is no such setting, or its value is not one that GREEN-API takes.
    """

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self.values: JsonObject = {**_DEFAULTS, **(values or {})}
        if problem := _problem(self.values):
            raise ValueError(problem)
        self._on = {name for name in _FLAGS if self.values[name] == "yes"}

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def changed(self, values: Mapping[str, Any]) -> Settings:
        """Return these settings with some changed. Names that GREEN-API does not know change nothing.

        Raises:
            ValueError: A value is not one that GREEN-API takes.
        """
        return Settings({**self.values, **{name: values[name] for name in values if name in _DEFAULTS}})

    def want(self, body: Mapping[str, Any]) -> bool:
        """Tell whether a notification goes to the queue. One of a type without a flag does."""
        return self._on.issuperset(_needed(body))


def _needed(body: Mapping[str, Any]) -> set[str]:
    kind = str(body.get("typeWebhook"))
    if kind == "outgoingMessageStatus":
        return _needed_for_status(body)
    data = body.get("messageData")
    of_message = MESSAGE_FLAGS.get(str(data.get("typeMessage"))) if isinstance(data, dict) else None
    return {*TYPE_FLAGS.get(kind, ()), *([of_message] if of_message else [])}


def _needed_for_status(body: Mapping[str, Any]) -> set[str]:
    """A status needs the flag of what was sent, too."""
    if body.get("status") in _ALWAYS_TOLD:
        return set()
    sent = "outgoingAPIMessageWebhook" if body.get("sendByApi") else "outgoingMessageWebhook"
    return {*TYPE_FLAGS["outgoingMessageStatus"], sent}


def _problem(values: Mapping[str, Any]) -> str | None:
    if unknown := values.keys() - _DEFAULTS.keys():
        return f"no setting is named '{min(unknown)}'"
    for name in _FLAGS:
        if values[name] not in ("yes", "no"):
            return f"'{name}' must be one of [yes, no]"
    for name in ("webhookUrl", "webhookUrlToken"):
        if not isinstance(values[name], str):
            return f"'{name}' must be a string"
    if values["webhookUrl"] and not values["webhookUrl"].startswith(("http://", "https://")):
        return "'webhookUrl' must be a valid uri"
    if values["delaySendMessagesMilliseconds"] not in _DELAYS:
        return "'delaySendMessagesMilliseconds' must be between 500 and 600000"
    return None
