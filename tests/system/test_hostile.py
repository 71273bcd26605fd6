"""What nobody should send, and more connections than there are descriptors: it still serves afterwards."""

from __future__ import annotations

import asyncio
import random
import resource
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.system.conftest import Report
from tests.system.faults import need
from tests.system.harness import Router
from tests.system.judge import judge
from tests.system.sender import Answer, answer_of, hang_up, request, sending

pytestmark = pytest.mark.system

_HEAD = b"POST /webhook HTTP/1.1\r\nHost: router\r\n"
GARBAGE = {
    "random bytes": random.Random(20261124).randbytes(4096),
    "a greeting of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "a greeting of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "half a head": _HEAD + b"Content-Len",
    "half a body": _HEAD + b"Content-Length: 1000\r\n\r\n{",
    "a length that is no number": _HEAD + b"Content-Length: many\r\n\r\n{}",
    "a length below zero": _HEAD + b"Content-Length: -1\r\n\r\n{}",
    "a length beyond all numbers": _HEAD + b"Content-Length: " + b"9" * 1000 + b"\r\n\r\n{}",
    "two lengths": _HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a chunk without a size": _HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "half a chunk": _HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{",
    "a header of 1 MiB": _HEAD + b"X-Large: " + b"x" * (1 << 20) + b"\r\n\r\n",
    "10,000 headers": _HEAD + b"X-Many: x\r\n" * 10_000 + b"\r\n",
    "a header with NUL": _HEAD + b"X-Nul: \x00\r\n\r\n",
    "a method of its own": b"\xff\xfe /webhook HTTP/1.1\r\n\r\n",
    "a path out of the house": b"GET /../../etc/passwd HTTP/1.1\r\nHost: router\r\n\r\n",
    "another protocol": _HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
    "a body that is too large": _HEAD + b"Content-Length: 3000000\r\n\r\n" + bytes(100_000),
}
MALFORMED: Sequence[bytes] = [
    b"",
    b"{",
    b"null",
    b"[" * 10_000,
    b'{"typeWebhook":' * 10_000,
    b"\xff\xfe\x00",
    b'{"typeWebhook":"incomingMessageReceived"}',
    b'{"typeWebhook":"\\ud800","a":1e999999}',
    b'{"typeWebhook":17,"instanceData":{"idInstance":' + b"9" * 5000 + b"}}",
]


async def test_garbage_disturbs_nobody(tmp_path: Path, report: Report) -> None:
    with Router(tmp_path) as router:
        router.start()
        async with sending(router) as sender:
            await sender.until(100)
            strangers = await asyncio.gather(
                *(say(router, garbage) for garbage in GARBAGE.values() for _ in range(20))
            )
            await sender.until(sender.total + 500)  # while those who are not done are still there
        await hang_up(*(writer for _, writer in strangers))
        verdict = await judge(router, sender.answered)
        code = router.stop()
        report(f"{verdict}; {len(strangers)} connections with {len(GARBAGE)} kinds of garbage")

        assert code == 0
        assert sender.refused == 0
        assert (verdict.lost, verdict.repeated, verdict.violations) == ([], 0, [])
        assert no_complaints(router)


@pytest.mark.timeout(120)
async def test_ten_thousand_malformed_bodies_at_once_are_kept(tmp_path: Path, report: Report) -> None:
    count = min(10_000, open_files() - 1_000)
    with Router(tmp_path) as router:
        router.start()
        connections = [await say(router, b"") for _ in range(count)]
        bodies = [request(MALFORMED[n % len(MALFORMED)] + b" " * (n // len(MALFORMED))) for n in range(count)]
        answers = await asyncio.gather(
            *(ask(connection, body) for connection, body in zip(connections, bodies, strict=True))
        )
        async with sending(router) as sender:
            await sender.until(500)
        verdict = await judge(router, sender.answered)
        statuses = Counter(answer.status for answer in answers)
        events = "SELECT sum(1 + duplicates + changed) FROM events WHERE status != 'accepted'"
        kept = router.query(events)[0][0]
        report(
            f"{verdict}; malformed: {count} sent at once, answers {dict(statuses)}, {kept} kept or counted"
        )

        assert statuses == {200: count}
        assert kept == count
        assert router.stop() == 0
        assert (verdict.lost, verdict.repeated, verdict.violations) == ([], 0, [])
        assert no_complaints(router)


async def test_too_few_descriptors_are_survived(tmp_path: Path, report: Report) -> None:
    need("prlimit")
    with Router(tmp_path, wrap=["prlimit", "--nofile=64"]) as router:
        router.start()
        async with sending(router) as sender:
            await sender.until(100)
            crowd = [await say(router, b"") for _ in range(100)]
            turned_away = await asyncio.gather(*(is_turned_away(reader) for reader, _ in crowd))
            await sender.until(sender.total + 500)
            await hang_up(*(writer for _, writer in crowd))
        async with sending(router, [[f"later{n}"] for n in range(32)]) as later:
            await later.until(500)
        verdict = await judge(router, {**sender.answered, **later.answered})
        report(f"{verdict}; of 100 connections beside 16, {sum(turned_away)} were closed at once")

        assert sum(turned_away) > 0
        assert router.stop() == 0
        assert (verdict.lost, verdict.repeated, verdict.violations) == ([], 0, [])
        assert no_complaints(router)


async def test_headers_without_end_take_no_memory(tmp_path: Path, report: Report) -> None:
    with Router(tmp_path) as router:
        router.start()
        before = router.memory()
        reader, writer = await say(router, _HEAD)
        try:
            for _ in range(100):
                writer.write(b"X-Large: " + b"x" * (1 << 20) + b"\r\n")
                await writer.drain()
            writer.write(b"Content-Length: 2\r\n\r\n{}")
            answer = await answer_of(reader)
        except (OSError, EOFError):
            answer = Answer(431, {}, b"")  # it had enough
        await hang_up(writer)
        taken = router.memory("VmHWM") - before
        report(f"100 MiB of headers: answered {answer.status}, {taken / 1e6:.0f} MB taken")
        assert taken < 20_000_000


async def say(router: Router, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect and send something."""
    reader, writer = await asyncio.open_connection("127.0.0.1", router.port)
    writer.write(data)
    return reader, writer


async def ask(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], data: bytes) -> Answer:
    """Send a request and wait for its answer."""
    reader, writer = connection
    writer.write(data)
    answer = await answer_of(reader)
    await hang_up(writer)
    return answer


async def is_turned_away(reader: asyncio.StreamReader) -> bool:
    """Whether the router closed the connection, though nothing was sent yet."""
    try:
        async with asyncio.timeout(2):
            return await reader.read(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def open_files() -> int:
    """Raise the limit of open files, which the router inherits, as far as this user may; return it."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def no_complaints(router: Router) -> bool:
    """Whether the log has neither tracebacks nor mistakes of the router's own."""
    log = router.log.read_text()
    return "Traceback" not in log and not router.logged("webhook.failed")
