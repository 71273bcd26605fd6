from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import shutil
import socket
import ssl
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from router_media import connections

from router import Event, GiveUp, RetryLater
from router.errors import BadRequest, ServerError
from router.testing import make_event

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(range(256)) * 8
NAME = "2024-01-29/79001234567@c.us"

Message = Callable[..., Event]


def answer(status: int, content: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(content)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + content


async def test_a_file_is_stored_under_the_day_and_the_chat(store: Any, server: Any, message: Message) -> None:
    event = message(server.file("/a.jpg", JPEG))

    await store(event)

    ((path, content),) = store.files().items()
    key = hashlib.sha256(f"{event.instance}/{event.chat}/{event.id_message}".encode()).hexdigest()[:16]
    assert (path, content) == (f"{NAME}/{key}-photo.jpg", JPEG)
    assert store.lines == [
        {"level": "info", "event": "media.stored", "file": path, "size": len(JPEG), "type": "image/jpeg"}
    ]
    assert server.requests == ["GET /a.jpg HTTP/1.1"]


async def test_the_json_beside_it_says_from_which_message_it_is(
    store: Any, server: Any, message: Message
) -> None:
    event = message(server.file("/a.jpg", JPEG), name="Фото.jpg")
    await store(event)

    (record,) = store.folder.rglob("*.json")
    found = json.loads(record.read_text("utf-8"))
    (file,) = store.files()
    assert found.pop("stored_at")
    assert found == {
        "file": Path(file).name,
        "type": "image/jpeg",
        "size": len(JPEG),
        "sha256": hashlib.sha256(JPEG).hexdigest(),
        "event": event.id,
        "instance": event.instance,
        "chat": event.chat,
        "sender": event.sender,
        "id_message": event.id_message,
        "message_type": "imageMessage",
        "timestamp": 1706505874,
        "caption": "look",
        "file_name": "Фото.jpg",
        "mime_type": "image/jpeg",
    }
    assert record.name == f"{Path(file).name.partition('-')[0]}.json"


async def test_no_json_if_not_asked_for(store: Any, server: Any, message: Message) -> None:
    await store(message(server.file("/a.jpg", JPEG)), record=False)

    assert len(list(store.folder.rglob("*.*"))) == 1 + 1  # the folder of the chat has a dot in its name


async def test_an_event_without_a_file_is_done(store: Any) -> None:
    for event in (make_event(text="hello"), make_event("incomingCall"), make_event("stateInstanceChanged")):
        await store(event)

    assert store.lines == [{"level": "debug", "event": "media.no_file"}] * 3
    assert not store.folder.exists()


async def test_the_same_message_twice_is_one_file(store: Any, server: Any, message: Message) -> None:
    url = server.file("/a.jpg", JPEG)
    first = message(url, id_message="M1")
    await store(first)
    again = message(server.url("/gone.jpg"), name="renamed.jpg", id_message="M1")
    await store(again)

    assert len(store.files()) == 1
    assert store.lines[1] == {"level": "info", "event": "media.known", "file": next(iter(store.files()))}
    assert len(server.requests) == 1


async def test_the_same_id_in_another_chat_is_another_file(store: Any, server: Any, message: Message) -> None:
    url = server.file("/a.jpg", JPEG)
    for chat in ("10000001@c.us", "10000002@c.us"):
        await store(message(url, id_message="1", chat=chat, sender=chat), path="all")

    assert len(store.files()) == 2


async def test_only_its_owner_may_read_it(store: Any, server: Any, message: Message) -> None:
    await store(message(server.file("/a.jpg", JPEG)))

    files = [path for path in store.folder.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert len(files) == 2


async def test_it_is_on_the_disk_before_it_has_its_name(
    store: Any, server: Any, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(file: int) -> None:
        found = os.fstat(file)
        steps.append("folder" if stat.S_ISDIR(found.st_mode) else f"{found.st_size} bytes")
        fsync(file)

    def replaced(source: str, target: Path) -> None:
        steps.append("named")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    await store(message(server.file("/a.jpg", JPEG)), record=False)

    # the chat's folder, and those that hold it and the day's
    assert steps == [f"{len(JPEG)} bytes", "named", "folder", "folder", "folder"]


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        (None, "image.jpg"),
        ("", "image.jpg"),
        ("../../etc/passwd", "_.._etc_passwd.jpg"),
        ("чек № 5.JPG", "чек № 5.JPG"),
        ("photo", "photo.jpg"),
        ("a\0b\n.jpg", "ab.jpg"),
    ],
)
async def test_whatever_a_file_is_called_it_stays_in_its_folder(
    store: Any, server: Any, message: Message, name: str | None, stored: str
) -> None:
    await store(message(server.file("/a.jpg", JPEG), name=name))

    (path,) = store.files()
    assert path.startswith(f"{NAME}/")
    assert path.rpartition("/")[2].partition("-")[2] == stored


async def test_a_path_has_the_fields_that_it_names(store: Any, server: Any, message: Message) -> None:
    chat = "12036304@g.us"
    event = message(server.file("/a.jpg", JPEG), chat=chat)

    await store(event, path="{messenger}/{year}/{month}-{day}/{kind}")

    (path,) = store.files()
    assert path.startswith("whatsapp/2024/01-29/imageMessage/")


async def test_a_large_file(store: Any, server: Any, message: Message) -> None:
    content = JPEG * 9_000  # 18 MB
    await store(message(server.file("/a.jpg", content)))

    assert list(store.files().values()) == [content]


# Expired and missing URLs


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
async def test_a_new_url_is_asked_for_when_it_has_expired(
    store: Any, server: Any, message: Message, status: int
) -> None:
    event = message(server.raw("/old", answer(status, b"<Error>expired</Error>")), id_message="M1")
    store.api.urls = [server.file("/new", JPEG)]

    await store(event)

    assert list(store.files().values()) == [JPEG]
    assert store.api.asked == [(event.chat, "M1")]


async def test_a_message_without_a_url_has_one_asked_for(store: Any, server: Any, message: Message) -> None:
    store.api.urls = [server.file("/new", JPEG)]

    await store(message(""))

    assert list(store.files().values()) == [JPEG]


async def test_a_new_url_is_asked_for_once(store: Any, server: Any, message: Message) -> None:
    url = server.raw("/old", answer(403))
    store.api.urls = [url, url]

    with pytest.raises(RetryLater, match=r"127\.0\.0\.1 answered 403, by a new URL as well"):
        await store(message(url))

    assert len(store.api.asked) == 1
    assert store.files() == {}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("", "the message has no URL, and GREEN-API gives no other"),
        (ServerError(1101000001, "downloadFile", "502", status=502), "downloadFile: 502"),
        (BadRequest(1101000001, "downloadFile", "400: not found", status=400), "400: not found"),
    ],
    ids=str,
)
async def test_what_green_api_does_not_give_is_asked_for_later(
    store: Any, message: Message, given: str | Exception, problem: str
) -> None:
    store.api.urls = [given]

    with pytest.raises(RetryLater, match=problem):
        await store(message(""))


async def test_without_a_token_of_the_instance_it_is_a_dead_letter(store: Any, message: Message) -> None:
    store.context.fake_api = None

    with pytest.raises(GiveUp, match="no token"):
        await store(message(""))


async def test_without_an_id_it_is_a_dead_letter(store: Any, message: Message) -> None:
    with pytest.raises(GiveUp, match="no chat or no idMessage"):
        await store(message("", id_message=None))


async def test_a_file_that_green_api_did_not_take_is_refused(store: Any, message: Message) -> None:
    with pytest.raises(GiveUp, match="more than 100 MB"):
        await store(message("{{SWE002}}"))


# Answers that are no whole file


class Broken(NamedTuple):
    content: bytes
    problem: str


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"


@pytest.mark.parametrize(
    "broken",
    [
        Broken(HEAD + b"Content-Length: 9999\r\n\r\n" + JPEG, "the answer was cut off"),
        Broken(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n\xff\xd8\xff", "the answer was cut off"),
        Broken(HEAD + b"Content-Length: -1\r\n\r\n", "the answer is no HTTP"),
        Broken(HEAD, "the connection was closed before there was an answer"),
        Broken(b"", "the connection was closed before there was an answer"),
        Broken(b"no HTTP\r\n\r\n", "the answer is no HTTP"),
        Broken(answer(500), "answered 500"),
        Broken(answer(204), "answered 204"),
        Broken(answer(206, JPEG), "answered 206"),
        Broken(answer(302), "answered 302"),
        Broken(answer(200, b"\x1f\x8b", "Content-Encoding: gzip"), "Content-Encoding gzip"),
    ],
    ids=lambda broken: broken.problem if isinstance(broken, Broken) else "",
)
async def test_what_is_no_whole_file_is_tried_again_and_leaves_nothing(
    store: Any, server: Any, message: Message, broken: Broken
) -> None:
    with pytest.raises(RetryLater, match=broken.problem):
        await store(message(server.raw("/a.jpg", broken.content)))

    assert [path for path in store.folder.rglob("*") if path.is_file()] == []


async def test_an_error_names_no_path_and_no_query(store: Any, server: Any, message: Message) -> None:
    url = server.raw("/secret?token=abc", answer(500))

    with pytest.raises(RetryLater) as caught:
        await store(message(url))

    assert caught.value.reason == "127.0.0.1 answered 500"


async def test_a_server_that_stalls_is_left(store: Any, server: Any, message: Message) -> None:
    async def begin(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: 9999\r\n\r\n" + JPEG)
        await writer.drain()
        await asyncio.sleep(60)

    with pytest.raises(RetryLater, match="nothing came for as long as the option stall says"):
        await store(message(server.does("/a.jpg", begin)), stall="200ms")

    assert store.files() == {}


async def test_a_server_that_sends_a_bit_now_and_then_is_left_in_the_end(
    store: Any, server: Any, message: Message
) -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: 9999\r\n\r\n")
        for _ in range(9999):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    with pytest.raises(RetryLater, match=r"not stored within the option timeout, 0\.3 s"):
        await store(message(server.does("/a.jpg", trickle)), timeout="300ms", stall="30s")

    assert store.files() == {}


async def test_nothing_is_left_when_the_router_cancels_it(store: Any, server: Any, message: Message) -> None:
    has_begun = asyncio.Event()

    async def hang(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: 9999\r\n\r\n" + JPEG)
        await writer.drain()
        has_begun.set()
        await asyncio.sleep(60)

    async with asyncio.timeout(20), store.handler() as handle:
        task = asyncio.create_task(handle(message(server.does("/a.jpg", hang))))
        await has_begun.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    assert store.files() == {}


# Size, type, extension


async def test_a_size_that_is_announced_is_refused_before_it_is_read(
    store: Any, server: Any, message: Message
) -> None:
    url = server.raw("/a.jpg", HEAD + b"Content-Length: 1025\r\n\r\n")

    with pytest.raises(GiveUp, match="more than the 1024 bytes of the option max_size"):
        await store(message(url), max_size="1KiB")


async def test_a_size_that_is_not_announced_is_refused_while_it_is_read(
    store: Any, server: Any, message: Message
) -> None:
    sent = 0

    async def for_ever(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(HEAD + b"\r\n")
        while True:
            writer.write(JPEG)
            await writer.drain()
            sent += len(JPEG)

    with pytest.raises(GiveUp, match="max_size"):
        await store(message(server.does("/a.jpg", for_ever)), max_size="1MiB")

    assert sent < 32 * 1024 * 1024  # what is between the two sockets at most
    assert store.files() == {}


async def test_a_size_as_large_as_allowed(store: Any, server: Any, message: Message) -> None:
    await store(message(server.file("/a.jpg", JPEG)), max_size=f"{len(JPEG)}B")

    assert list(store.files().values()) == [JPEG]


async def test_the_type_is_that_of_the_content(store: Any, server: Any, message: Message) -> None:
    url = server.file("/a.jpg", b"MZ\x90\0" + b"\0" * 100, "Content-Type: image/jpeg")

    with pytest.raises(
        GiveUp, match=r"its type application/vnd\.microsoft\.portable-executable is refused by the options"
    ):
        await store(message(url), allow_types=["image/*"])

    assert store.files() == {}


async def test_a_wrong_type_is_refused_before_the_rest_is_read(
    store: Any, server: Any, message: Message
) -> None:
    async def begin(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: 99999999\r\n\r\n" + b"%PDF-1.7\n" + b"x" * 100_000)
        await writer.drain()
        await asyncio.sleep(60)

    with pytest.raises(GiveUp, match="application/pdf is refused"):
        await store(message(server.does("/a.jpg", begin)), deny_types=["application/*"])


async def test_a_wrong_extension_is_refused_before_it_is_fetched(
    store: Any, server: Any, message: Message
) -> None:
    for options in ({"deny_extensions": ["exe"]}, {"allow_extensions": [".JPG", "png"]}):
        with pytest.raises(GiveUp, match="its extension 'exe' is refused by the options"):
            await store(message(server.file("/a", JPEG), name="photo.jpg.EXE"), **options)

    assert server.requests == []


async def test_a_file_without_an_extension_has_that_of_its_type(
    store: Any, server: Any, message: Message
) -> None:
    await store(message(server.file("/a", JPEG), name="photo"), allow_extensions=["jpg"])
    with pytest.raises(GiveUp, match="its extension '' is refused"):
        await store(message(server.file("/b", b"\0"), name="photo"), allow_extensions=["jpg"])

    assert len(store.files()) == 1


async def test_what_is_refused_may_be_done_with_a_warning(store: Any, server: Any, message: Message) -> None:
    await store(message(server.file("/a.jpg", JPEG)), deny_types=["image/jpeg"], refused="skip")

    assert store.lines == [
        {
            "level": "warning",
            "event": "media.refused",
            "reason": "its type image/jpeg is refused by the options",
        }
    ]


# The disk


async def test_space_that_is_to_stay_free_stays_free(store: Any, server: Any, message: Message) -> None:
    with pytest.raises(RetryLater, match="bytes are free, and the option min_free keeps 999999999"):
        await store(message(server.file("/a.jpg", JPEG)), min_free="999999999GB")

    assert store.files() == {}


async def test_space_is_looked_at_while_it_is_read(
    store: Any, server: Any, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [10**12, 10]
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free.pop(0)))

    with pytest.raises(RetryLater, match="10 bytes are free"):
        await store(message(server.file("/a.jpg", JPEG * 9_000)), min_free="1KiB")

    assert store.files() == {}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_a_full_disk_is_tried_again_and_the_part_is_removed(
    store: Any, server: Any, message: Message, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fsync(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(RetryLater, match=os.strerror(number)):
        await store(message(server.file("/a.jpg", JPEG)))

    assert [path for path in store.folder.rglob("*") if path.is_file()] == []


@pytest.mark.system
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a small disk")
async def test_a_disk_that_is_really_full(store: Any, server: Any, message: Message) -> None:
    store.folder.mkdir()
    with await mounted(store.folder):
        with pytest.raises(RetryLater, match="No space left on device"):
            await store(message(server.raw("/a.jpg", HEAD + b"\r\n" + JPEG * 900)))  # 2 MB; the disk has 1 MB
        assert [path for path in store.folder.rglob("*") if path.is_file()] == []
        await store(message(server.file("/b.jpg", JPEG)))
        assert list(store.files().values()) == [JPEG]


async def mounted(folder: Path) -> Any:
    from contextlib import ExitStack

    mount = await asyncio.create_subprocess_exec(
        "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)
    )
    if await mount.wait():
        pytest.skip("needs tmpfs")
    stack = ExitStack()
    stack.callback(os.system, f"umount {folder}")
    return stack


async def test_a_folder_that_cannot_be_made_fails_the_attempt(
    store: Any, server: Any, message: Message
) -> None:
    store.folder.write_bytes(b"")

    with pytest.raises(OSError, match="files"):
        await store(message(server.file("/a.jpg", JPEG)))


# Where it may go


async def test_addresses_that_are_not_public_are_refused(store: Any, server: Any, message: Message) -> None:
    for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "0"):
        with pytest.raises(GiveUp, match=r"is not public|URL is none"):
            await store(message(f"https://{host}:{server.port}/a.jpg"), allow=[])

    assert server.requests == []


async def test_without_tls_only_what_is_allowed(
    store: Any, server: Any, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(GiveUp, match=r"8\.8\.8\.8 is asked for without TLS"):
        await store(message("http://8.8.8.8/a.jpg"))


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ftp://127.0.0.1/a", "is not https://"),
        ("file:///etc/passwd", "names no host"),
        ("//127.0.0.1/a", "is not https://"),
        ("a.jpg", "names no host"),
        ("http://[::1", "is none"),
        ("https://[zz::1]/", "no IP address"),
        ("http://anna:secret@127.0.0.1/", "has a name and a password"),
        ("http://127.0.0.1:99999/", "is none"),
        ("{{SWE099}}", "names no host"),
    ],
)
async def test_a_url_that_is_none_is_a_dead_letter(
    store: Any, message: Message, url: str, problem: str
) -> None:
    with pytest.raises(GiveUp, match=problem):
        await store(message(url))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(store: Any, server: Any, message: Message, status: int) -> None:
    server.file("/files/b.jpg", JPEG)
    server.raw("/files/a", answer(status, b"", "Location: b.jpg"))
    url = server.raw("/a", answer(status, b"", f"Location: {server.url('/files/a')}"))

    await store(message(url))

    assert list(store.files().values()) == [JPEG]


async def test_redirects_end(store: Any, server: Any, message: Message) -> None:
    url = server.raw("/a", answer(302, b"", "Location: /a"))

    with pytest.raises(RetryLater, match="more than 5 redirects"):
        await store(message(url))

    assert len(server.requests) == 6


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        ("http://127.0.0.2:{port}/b", r"127\.0\.0\.2 is not public \(loopback\)"),
        ("https://127.0.0.2:{port}/b", r"127\.0\.0\.2 is not public \(loopback\)"),
        ("http://169.254.169.254/latest/meta-data", "cloud metadata"),
        ("http://10.0.0.1/", "private"),
        ("file:///etc/passwd", "is not https://"),
        ("gopher://127.0.0.1/", "is not https://"),
    ],
)
async def test_a_redirect_is_checked_like_the_first_url(
    store: Any, server: Any, message: Message, location: str, problem: str
) -> None:
    url = server.raw("/a", answer(302, b"", f"Location: {location.format(port=server.port)}"))

    with pytest.raises(GiveUp, match=problem):
        await store(message(url), allow=["127.0.0.1/32"])

    assert len(server.requests) == 1


async def test_a_url_that_green_api_gives_is_checked_as_well(store: Any, message: Message) -> None:
    store.api.urls = ["https://10.0.0.1/a"]

    with pytest.raises(GiveUp, match="private"):
        await store(message(""))


async def test_a_name_that_leads_to_a_private_address_is_refused(
    store: Any, server: Any, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lookup(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        found = ("10.0.0.1", "127.0.0.1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    async with store.handler(allow=[]) as handle:
        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        with pytest.raises(GiveUp, match="loopback"):
            await handle(message(f"https://files.example.com:{server.port}/a"))

    assert server.requests == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
async def test_a_certificate_that_nobody_vouches_for_is_not_accepted(
    store: Any, server: Any, message: Message, tmp_path: Path
) -> None:
    key = [f"{tmp_path}/key", "-out", f"{tmp_path}/cert", "-subj", "/CN=127.0.0.1"]
    made = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", *key),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await made.wait() == 0
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context) as secure:
        port = secure.sockets[0].getsockname()[1]
        with pytest.raises(RetryLater, match="its certificate is not accepted: self-signed certificate"):
            await store(message(f"https://127.0.0.1:{port}/a.jpg"))

    assert server.requests == []


async def test_an_allowed_address_where_nobody_listens_is_tried_again(
    store: Any, server: Any, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lookup(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        found = ("127.0.0.2", "10.0.0.1", "127.0.0.1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    async with store.handler(allow=["127.0.0.2/32"]) as handle:
        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        with pytest.raises(RetryLater, match="cannot connect: Connection refused"):
            await handle(message(f"http://files.example.com:{server.port}/a.jpg"))

    assert server.requests == []


async def test_hosts_are_those_of_the_option(store: Any, server: Any, message: Message) -> None:
    url = server.file("/a.jpg", JPEG)
    await store(message(url), hosts=["127.0.0.1", "*.example.com"])
    with pytest.raises(GiveUp, match="is not in the option hosts"):
        await store(message(url.replace("127.0.0.1", "127.0.0.2")), hosts=["127.0.0.1"])

    assert len(store.files()) == 1


async def test_a_signed_url_is_sent_as_it_is(store: Any, server: Any, message: Message) -> None:
    path = "/a%2Fb%20c+d.jpg?X-Sig=%7Ea%2Bb%3D&x=a+b"
    await store(message(server.file(path, JPEG)))

    assert server.requests == [f"GET {path} HTTP/1.1"]


async def test_a_url_with_other_letters_is_written_as_http_has_it(
    store: Any, server: Any, message: Message
) -> None:
    server.file("/%D1%87%D0%B5%D0%BA%20.jpg", JPEG)
    await store(message(server.url("/чек .jpg")))

    assert list(store.files().values()) == [JPEG]


async def test_a_url_cannot_add_headers(store: Any, server: Any, message: Message) -> None:
    store.api.urls = [server.file("/new", JPEG)]
    await store(message(server.url("/a HTTP/1.1\r\nX-Evil: 1\r\n\r\n")))

    assert server.requests == ["GET /a%20HTTP/1.1X-Evil:%201 HTTP/1.1", "GET /new HTTP/1.1"]


async def test_no_proxy_of_the_environment_is_used(
    store: Any, server: Any, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    await store(message(server.file("/a.jpg", JPEG)))

    assert list(store.files().values()) == [JPEG]


def test_every_failure_has_words() -> None:
    assert connections.failure(ValueError("x")) == "ValueError"
