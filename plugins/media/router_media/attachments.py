"""What a message says of the file attached to it. Pure.

Where it says so is GREEN-API's documentation of the notification format: ``messageData.fileMessageData`` has
``downloadUrl``, ``fileName``, ``mimeType`` and ``caption``. Telegram's stickers have it under another key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router import Event

#: Stands in place of the URL of a file of more than 100 MB, which GREEN-API does not take.
_TOO_LARGE = "{{SWE002}}"
#: What a message quotes is attached to another one.
_QUOTED = "quotedMessage"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file, as the notification describes it. Whatever is no text is ``None``."""

    #: ``None`` if GREEN-API has to be asked for one.
    url: str | None
    file_name: str | None
    mime_type: str | None
    caption: str | None
    #: GREEN-API did not take it.
    is_too_large: bool


def attachment_of(event: Event) -> Attachment | None:
    """Return the file attached to a message; ``None`` for any other event."""
    message = event.data.get("messageData")
    if not isinstance(message, dict):
        return None
    parts = [message.get("fileMessageData"), *(part for key, part in message.items() if key != _QUOTED)]
    for part in parts:
        if isinstance(part, dict) and "downloadUrl" in part:
            return _described(part)
    return None


def _described(part: Mapping[str, Any]) -> Attachment:
    url = _text(part, "downloadUrl")
    return Attachment(
        url=url if url != _TOO_LARGE else None,
        file_name=_text(part, "fileName"),
        mime_type=_text(part, "mimeType"),
        caption=_text(part, "caption"),
        is_too_large=url == _TOO_LARGE,
    )


def _text(part: Mapping[str, Any], name: str) -> str | None:
    value = part.get(name)
    return value.strip() or None if isinstance(value, str) else None
