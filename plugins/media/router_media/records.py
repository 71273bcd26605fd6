"""The JSON beside a file: from which message it is."""

from __future__ import annotations

import json

from router import Event, now
from router_media.attachments import Attachment
from router_media.download import Downloaded


def record_of(event: Event, attachment: Attachment, file: str, downloaded: Downloaded) -> bytes:
    """Return the record of a file.

    Args:
        event: The message.
        attachment: As the message describes it.
        file: The file's name.
        downloaded: What was found.
    """
    fields = {
        "file": file,
        "type": downloaded.type,
        "size": downloaded.size,
        "sha256": downloaded.sha256,
        "stored_at": now().isoformat(),
        "event": event.id,
        "instance": event.instance,
        "chat": event.chat,
        "sender": event.sender,
        "id_message": event.id_message,
        "message_type": event.message_type,
        "timestamp": event.timestamp,
        "caption": attachment.caption,
        "file_name": attachment.file_name,
        "mime_type": attachment.mime_type,
    }
    return json.dumps(fields, ensure_ascii=False, indent=2).encode() + b"\n"
