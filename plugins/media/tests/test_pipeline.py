"""The handler in a router: attempts, dead letters, and the API of the event's instance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from router import Event
from router.testing import StartRouter, make_event

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(range(256)) * 8

Message = Callable[..., Event]


def routes(folder: Path, **options: Any) -> list[dict[str, Any]]:
    given = {"folder": str(folder), "allow": ["127.0.0.0/8"], "min_free": "1B", **options}
    return [
        {
            "name": "files",
            "type": "*",
            "handler": "media",
            "options": given,
            "timeout": "5m",
            "retry": {"attempts": 2},
        }
    ]


def stored(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*-*") if path.is_file()]


async def test_a_file_is_stored_and_its_delivery_done(
    router_harness: StartRouter, server: Any, message: Message, tmp_path: Path
) -> None:
    router = await router_harness(routes(tmp_path))

    await router.send(message(server.file("/a.jpg", JPEG)))
    await router.send(make_event(text="no file"))
    await router.settle()

    router.assert_done("files", count=2)
    assert stored(tmp_path) == [JPEG]


async def test_an_expired_url_is_renewed_by_the_instance_of_the_event(
    router_harness: StartRouter, server: Any, message: Message, tmp_path: Path
) -> None:
    router = await router_harness(routes(tmp_path))
    router.api.answer("downloadFile", {"downloadUrl": server.file("/new.jpg", JPEG)})

    await router.send(message(server.url("/gone.jpg"), id_message="M1"))
    await router.settle()

    router.assert_done("files", count=1)
    router.assert_sent("downloadFile", chatId="79001234567@c.us", idMessage="M1")
    assert stored(tmp_path) == [JPEG]


async def test_what_fails_is_tried_again_and_leaves_one_file(
    router_harness: StartRouter, server: Any, message: Message, tmp_path: Path
) -> None:
    router = await router_harness(routes(tmp_path))
    url = server.raw("/a.jpg", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + JPEG)
    await router.send(message(url))
    await router.settle()
    (delivery,) = router.deliveries("files")
    assert delivery.error == "127.0.0.1: the answer was cut off"

    server.file("/a.jpg", JPEG)
    await router.advance("1m")

    router.assert_done("files", count=1)
    assert stored(tmp_path) == [JPEG]


async def test_what_is_refused_is_a_dead_letter_with_its_reason(
    router_harness: StartRouter, server: Any, message: Message, tmp_path: Path
) -> None:
    router = await router_harness(routes(tmp_path, allow_types=["video/*"]))

    await router.send(message(server.file("/a.jpg", JPEG)))
    await router.settle()

    router.assert_dead("files", reason="its type image/jpeg is refused by the options")


async def test_a_server_that_stalls_is_left_when_its_time_is_over(
    router_harness: StartRouter, server: Any, message: Message, tmp_path: Path
) -> None:
    router = await router_harness(routes(tmp_path, stall="1m"), patience=0.2)
    await router.send(message(server.hangs("/a.jpg")))

    await router.settle()
    await router.advance("10m")

    router.assert_dead("files", reason="nothing came for as long as the option stall says")
    assert list(tmp_path.iterdir()) == []
