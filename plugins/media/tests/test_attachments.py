from __future__ import annotations

from typing import Any

import pytest
from router_media.attachments import Attachment, attachment_of

from router import samples
from router.testing import make_event

KINDS = ["imageMessage", "videoMessage", "audioMessage", "documentMessage", "stickerMessage"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("type_", ["incomingMessageReceived", "outgoingMessageReceived"])
def test_each_kind_of_message_with_a_file(kind: str, type_: str) -> None:
    found = attachment_of(make_event(type_, message_type=kind))

    assert found is not None
    assert found.url is None or found.url.startswith("https://")
    assert found.is_too_large is False


def test_all_that_is_said_of_it() -> None:
    found = attachment_of(make_event(sample="incomingMessageReceived/wa-sticker.json"))

    name = "a0128ca6-be8d-4813-9af7-54cdaf384317.webp"
    url = f"https://sw-media-1101.storage.yandexcloud.net/1101000001/{name}"
    assert found == Attachment(url, name, "image/webp", caption=None, is_too_large=False)


def test_every_sample_is_read() -> None:
    events = [make_event(sample=name) for name in samples.names()]

    with_files = {event.message_type for event in events if attachment_of(event)}
    assert with_files >= set(KINDS)
    assert not with_files & {"textMessage", "locationMessage", "quotedMessage", "reactionMessage"}


def test_a_sticker_of_telegram_under_another_key() -> None:
    data = {"messageData": {"fileMessageData": None, "stickerMessageData": {"downloadUrl": "https://x/y"}}}

    found = attachment_of(make_event(message_type="stickerMessage", data=data))

    assert found is not None
    assert found.url == "https://x/y"


def test_what_is_quoted_is_not_attached() -> None:
    data = {"messageData": {"quotedMessage": {"downloadUrl": "https://x/y"}}}

    assert attachment_of(make_event(text="a", data=data)) is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", None),
        ("  ", None),
        (None, None),
        (5, None),
        (" https://x/y\n", "https://x/y"),
        ("{{SWE002}}", None),
    ],
)
def test_a_url_that_is_none(url: Any, expected: str | None) -> None:
    data = {"messageData": {"fileMessageData": {"downloadUrl": url, "fileName": 5, "mimeType": []}}}

    found = attachment_of(make_event(message_type="imageMessage", data=data))

    assert found is not None
    assert (found.url, found.file_name, found.mime_type) == (expected, None, None)
    assert found.is_too_large is (url == "{{SWE002}}")


@pytest.mark.parametrize("message", [None, [], "x", {}, {"fileMessageData": "x"}])
def test_whatever_a_message_is(message: Any) -> None:
    assert attachment_of(make_event("new", data={"messageData": message})) is None
