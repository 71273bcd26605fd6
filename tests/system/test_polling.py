"""Polling of a GREEN-API that misbehaves: nothing is lost, deleted unstored, or asked for too often."""

from __future__ import annotations

import asyncio
import gzip
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from aiohttp import ClientSession

from router.greenapi.simulator import Account, Simulator
from tests.greenapi.scripted import HANG_UP, SILENCE, Answering, Reply, Request, in_turn
from tests.system.conftest import Report
from tests.system.faults import SmallDisk
from tests.system.harness import Router
from tests.system.judge import judge, until
from tests.system.sender import notification, post, send
from tests.system.standin import HELD, StandIn, most_in_a_second

pytestmark = pytest.mark.system

FIRST = 1101000001
#: GREEN-API's own limit for receiveNotification and for deleteNotification.
MOST_A_SECOND = 100


@asynccontextmanager
async def polling(
    folder: Path, stand_in: StandIn, instances: Iterable[int], *, inbox: str = "router.db", more: str = ""
) -> AsyncIterator[Router]:
    """Serve the stand-in, and have a router that polls it, not yet started."""
    async with stand_in.server.serving():
        settings = "\n".join([stand_in.instances(instances), more])
        with Router(folder, inbox=inbox, settings=settings) as router:
            yield router


def numbered(instance: int, *, each: int) -> tuple[dict[str, int], list[bytes]]:
    """Return the chats of an instance with how many messages each gets, and the messages in turns."""
    chats = {f"chat{instance - FIRST}-{place}": each for place in range(6)}
    return chats, [notification(chat, number) for number in range(1, each + 1) for chat in chats]


def invalid(instance: int) -> list[bytes]:
    """Return what is no notification: no JSON, no object, no typeWebhook."""
    texts = '{"typeWebhook": "incomingCall", "n": %d,}', "[1, %d]", '{"timestamp": %d}'
    return [(text % instance).encode() for text in texts]


@pytest.mark.timeout(300)
async def test_nothing_is_lost_or_deleted_unstored_by_kills_and_by_a_green_api_that_misbehaves(
    tmp_path: Path, report: Report
) -> None:
    chance = random.Random(20261124)
    instances = range(FIRST, FIRST + 5)
    stand_in = StandIn(tmp_path / "router.db", faults=0.03)
    expected: dict[str, int] = {}
    for instance in instances:
        chats, bodies = numbered(instance, each=40)
        expected |= chats
        for body in invalid(instance):
            bodies.insert(chance.randrange(len(bodies)), body)
        for place in sorted(chance.sample(range(len(bodies)), 20), reverse=True):
            bodies.insert(place, bodies[place])  # what happened once is told twice
        stand_in.put(instance, *bodies)
    async with polling(tmp_path, stand_in, instances) as router:
        router.start()
        for _ in range(15):
            await asyncio.sleep(chance.uniform(0.1, 1.0))
            router.kill()
            await asyncio.to_thread(router.start)
        began_at = time.monotonic()
        await until(lambda: stand_in.is_drained, what="the end of the queues", patience=150)
        verdict = await judge(router, expected)
        code = await asyncio.to_thread(router.stop)
    kept = {body for (body,) in router.query("SELECT body FROM events WHERE status = 'invalid'")}
    most = most_in_a_second(stand_in.server.requests)
    report(
        f"{verdict}; {len(stand_in.deleted)} deleted, {len(stand_in.too_early)} of them unstored; "
        f"at most {most} requests of a method in a second; {sum(stand_in.happened.values())} faults; "
        f"drained {time.monotonic() - began_at:.0f} s after the last kill"
    )

    assert code == 0
    assert (verdict.lost, verdict.violations) == ([], [])
    assert stand_in.too_early == []
    assert kept == {body for instance in instances for body in invalid(instance)}
    assert len(stand_in.happened) == 12
    assert most <= MOST_A_SECOND
    assert not router.logged("polling.failed")
    assert "Traceback" not in router.log.read_text()


def again_and_again(body: bytes, *, is_deleted: bool) -> Answering:
    """Answer with the same notification for ever, whatever is said of its deletion."""
    content = b'{"receiptId":7,"body":%b}' % body
    return lambda request: Reply(
        content={"result": is_deleted} if request.method == "deleteNotification" else content
    )


def outages() -> list[Answering]:
    """Return what leads to nothing, each for ever."""
    body = notification("chat", 1)
    only: list[Reply] = [
        Reply(status=500),
        Reply(status=502, content="<h1>Bad Gateway</h1>"),
        Reply(status=429),
        Reply(status=429, headers={"Retry-After": "0"}),
        Reply(status=401, content=b""),
        Reply(status=403),
        Reply(status=404, content="<html>"),
        Reply(status=466),
        Reply(status=400, content="custom webhook url is set"),
        Reply(status=302, headers={"Location": "/"}),
        Reply(status=204, content=b""),
        Reply(content=b""),
        Reply(),
        Reply(content="<html>Welcome</html>"),
        Reply(content=[]),
        Reply(content=body, cut_after=10),
        HANG_UP,
        SILENCE,
    ]
    return [
        *(in_turn(reply) for reply in only),
        again_and_again(body, is_deleted=True),
        again_and_again(body, is_deleted=False),
    ]


async def test_what_leads_to_nothing_is_asked_for_less_and_less(tmp_path: Path, report: Report) -> None:
    instead = dict(enumerate(outages(), FIRST))
    stand_in = StandIn(tmp_path / "router.db", instead=instead)
    async with polling(tmp_path, stand_in, instead) as router:
        router.start()
        await asyncio.sleep(20)
        counts = [len(stand_in.requests(instance)) for instance in instead]
        took = await asyncio.to_thread(timed, router.stop)
    report(f"requests of an instance in 20 s: {min(counts)} to {max(counts)}; SIGTERM took {took:.2f} s")

    assert min(counts) > 0
    assert max(counts) <= 16
    assert took < 3


def timed(call: Callable[[], int]) -> float:
    """Call what ends with exit code 0; return the seconds that it took."""
    began_at = time.monotonic()
    assert call() == 0
    return time.monotonic() - began_at


async def test_sigterm_ends_the_long_polls_of_fifty_instances(tmp_path: Path, report: Report) -> None:
    instances = range(FIRST, FIRST + 50)
    stand_in = StandIn(tmp_path / "router.db")
    async with polling(tmp_path, stand_in, instances) as router:
        router.start()
        await until(lambda: len(stand_in.server.requests) == 50, what="a long poll of each instance")
        took = await asyncio.to_thread(timed, router.stop)
    report(f"SIGTERM took {took:.2f} s, a long poll takes {HELD} s")

    assert len(stand_in.server.requests) == 50
    assert took < 3


async def test_the_same_over_both_transports_at_once_is_one_event(tmp_path: Path, report: Report) -> None:
    stand_in = StandIn(tmp_path / "router.db")
    async with polling(tmp_path, stand_in, [FIRST]) as router:
        router.start()
        chats, bodies = numbered(FIRST, each=50)
        reader, writer = await asyncio.open_connection("127.0.0.1", router.port)
        stand_in.put(FIRST, *bodies)
        await until(lambda: len(stand_in.deleted) > 50, what="a lead of polling")
        answers = {(await post(reader, writer, body)).status for body in bodies}  # overtakes it
        writer.close()
        await until(lambda: stand_in.is_drained, what="the end of the queue")
        verdict = await judge(router, chats)
        code = await asyncio.to_thread(router.stop)
    events = dict(router.query("SELECT transport, count(*) FROM events GROUP BY transport"))
    report(f"{verdict}; first by {events}")

    assert code == 0
    assert answers == {200}
    assert (verdict.lost, verdict.repeated, verdict.violations) == ([], 0, [])
    assert sum(events.values()) == len(bodies) == len(stand_in.deleted)
    assert set(events) == {"polling", "webhook"}
    assert router.query("SELECT DISTINCT duplicates FROM events") == [(1,)]


async def test_nothing_is_deleted_while_nothing_can_be_stored(
    tmp_path: Path, disk: SmallDisk, report: Report
) -> None:
    instances = range(FIRST, FIRST + 5)
    stand_in = StandIn(tmp_path / "disk" / "router.db")
    expected: dict[str, int] = {}
    for instance in instances:
        chat = f"chat{instance - FIRST}"
        expected[chat] = 120
        stand_in.put(instance, *(notification(chat, number, padding=20_000) for number in range(1, 121)))
    async with polling(tmp_path, stand_in, instances, inbox="disk/router.db") as router:
        disk.fill(leave=6)
        router.start()
        await until(lambda: len(router.logged("polling.lost")) >= 5, what="a full disk")
        before = len(stand_in.deleted)
        await until(lambda: len(router.logged("inbox.unavailable")) >= 15, what="some more attempts")
        meanwhile = len(stand_in.deleted) - before
        refused = await send(router, "other", 1)
        disk.free()
        await until(lambda: stand_in.is_drained, what="the end of the queues")
        verdict = await judge(router, expected)
        code = await asyncio.to_thread(router.stop)
        report(
            f"{verdict}; {before} deleted before, {meanwhile} while the disk was full, "
            f"{len(stand_in.too_early)} unstored"
        )

        assert code == 0
        assert (meanwhile, refused.status) == (0, 503)
        assert stand_in.too_early == []
        assert (verdict.lost, verdict.repeated, verdict.violations) == ([], 0, [])
        assert len(router.logged("polling.restored")) == 5


@dataclass(frozen=True, slots=True)
class Raw(Reply):
    """Bytes that go over the wire as they are; the connection is closed after them."""

    cut_after: int | None = -1

    def wire(self) -> bytes:
        return self.body()


def odd_answers(body: bytes) -> dict[str, Reply]:
    """Return a notification in forms that GREEN-API is not known to use, but HTTP and JSON allow."""
    whole = b'{"receiptId":%d,"body":%b}' % (2**63, body)
    sized = b"Content-Length: %d\r\n\r\n%b"
    packed = gzip.compress(whole)
    half = len(whole) // 2
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (whole[:half], whole[half:], b""))
    ok = b"HTTP/1.1 200 OK\r\n"
    return {
        "100 first": Raw(content=b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + ok + sized % (len(whole), whole)),
        "HTTP/1.0 without a length": Raw(content=b"HTTP/1.0 200 OK\r\n\r\n" + whole),
        "in chunks": Raw(content=ok + b"Transfer-Encoding: chunked\r\n\r\n" + chunks),
        "gzip": Raw(content=ok + b"Content-Encoding: gzip\r\n" + sized % (len(packed), packed)),
        "many headers": Raw(content=ok + b"X-A: b\r\n" * 100 + sized % (len(whole), whole)),
        "as text": Reply(content=whole, headers={"Content-Type": "text/plain; charset=nonsense"}),
        "the body first": Reply(content=b'{"body":%b,"receiptId":%d}' % (body, 2**63)),
        "a receipt as text": Reply(content=b'{"receiptId":"%d","body":%b}' % (2**63, body)),
    }


def once(first: Reply) -> Answering:
    """Answer once with a notification; say of its deletion, and only its, that it was done."""
    is_waiting = True

    async def answer(request: Request) -> Reply:
        nonlocal is_waiting
        if request.method == "deleteNotification":
            is_head = is_waiting and request.path.endswith(f"/{2**63}")
            is_waiting = is_waiting and not is_head
            return Reply(content={"result": is_head, "reason": ""})
        return first if is_waiting else SILENCE

    return answer


async def test_a_notification_in_an_odd_answer_is_one_all_the_same(tmp_path: Path) -> None:
    names = list(odd_answers(b""))
    answers = [odd_answers(notification(f"odd{at}", 1))[name] for at, name in enumerate(names)]
    instead = {FIRST + at: once(answer) for at, answer in enumerate(answers)}
    stand_in = StandIn(tmp_path / "router.db", instead=instead)
    async with polling(tmp_path, stand_in, instead) as router:
        router.start()
        verdict = await judge(router, {f"odd{at}": 1 for at in range(len(names))})
        await until(
            lambda: all(len(stand_in.requests(instance)) == 3 for instance in instead), what="its deletion"
        )
        assert await asyncio.to_thread(router.stop) == 0
    assert (verdict.lost, verdict.repeated) == ([], 0)
    assert not router.logged("polling.lost")


#: What would end a router that reads it carelessly.
TRAPS: dict[str, Reply] = {
    "nested deeply": Reply(content=b'{"receiptId":1,"body":%b}' % (b'{"a":' * 1020 + b"1" + b"}" * 1020)),
    "nested deeply, the body first": Reply(
        content=b'{"body":%b,"receiptId":1}' % (b"[" * 1020 + b"]" * 1020)
    ),
    "a refusal nested deeply": Reply(status=400, content=b"[" * 1000 + b"]" * 1000),
    "a page of tags without end": Reply(status=502, content=b"<style" * 1_000_000),
    "a receipt of 5,000 digits": Reply(content=b'{"receiptId":"%b","body":{}}' % (b"9" * 5000)),
    "more than is read": Reply(content=b" " * (33 << 20)),
    "gzip that is none": Reply(content=b"{}", headers={"Content-Encoding": "gzip"}),
    "an encoding that nobody knows": Reply(content=b"{}", headers={"Content-Encoding": "br"}),
    "a header of 100 kB": Reply(headers={"X-A": "a" * 100_000}),
    "no HTTP": Raw(content=b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    "a length that is none": Raw(content=b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}"),
    "a chunk that is none": Raw(content=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"),
    "another protocol": Raw(content=b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"),
    "a cookie that is none": Reply(status=500, headers={"Set-Cookie": "\x01=;;;=\x7f"}),
}


@asynccontextmanager
async def no_tls() -> AsyncIterator[int]:
    """Yield a port where nobody speaks TLS."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(converse, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_no_answer_and_no_address_ends_the_router_or_holds_up_another_instance(
    tmp_path: Path, report: Report
) -> None:
    instead = dict(enumerate(map(in_turn, TRAPS.values()), FIRST + 1))
    stand_in = StandIn(tmp_path / "router.db", instead=instead)
    chats, bodies = numbered(FIRST, each=30)
    stand_in.put(FIRST, *bodies)
    async with stand_in.server.serving(), no_tls() as port:
        hosts = ["https://no-such-host.invalid", f"https://127.0.0.1:{port}", "http://127.0.0.1:1"]
        nowhere = [
            f'  - {{id: {FIRST + 100 + at}, api_url: "{host}", token: "t{at}", transport: polling}}'
            for at, host in enumerate(hosts)
        ]
        settings = "\n".join([stand_in.instances([FIRST, *instead]), *nowhere])
        with Router(tmp_path, settings=settings) as router:
            router.start()
            verdict = await judge(router, chats)
            troubled = set(instead) | {FIRST + 100 + at for at in range(len(hosts))}
            await until(lambda: troubled <= concerned(router), what="trouble with each of the others")
            took = await asyncio.to_thread(timed, router.stop)
    report(f"{verdict}; SIGTERM took {took:.2f} s")

    assert (verdict.lost, verdict.repeated, verdict.violations) == ([], 0, [])
    assert not router.logged("polling.failed")
    assert "Traceback" not in router.log.read_text()
    assert took < 3


def concerned(router: Router) -> set[int]:
    """Return the instances that polling or the inbox has told of."""
    told = [*router.logged("polling.lost"), *router.logged("notification.invalid")]
    return {record["idInstance"] for record in told}


@asynccontextmanager
async def relay(router: Router) -> AsyncIterator[str]:
    """Yield an address that stays the same when the router is started anew, on another port."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", router.port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))

    async with await asyncio.start_server(connect, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/webhook"


@asynccontextmanager
async def traffic(account: Account) -> AsyncIterator[dict[str, int]]:
    """Let messages happen until the block ends; yields how many each chat has got."""
    happened = {f"chat{place}": 0 for place in range(5)}

    async def happen() -> None:
        for number in count(1):
            for chat in happened:
                account.push(notification(chat, number))
                happened[chat] = number
                await asyncio.sleep(0.02)

    task = asyncio.ensure_future(happen())
    try:
        yield happened
    finally:
        task.cancel()


async def set_webhook_url(simulator: Simulator, account: Account, url: str) -> None:
    """Change the settings as anybody would."""
    address = f"{simulator.url}/waInstance{account.id}/setSettings/{account.token}"
    async with ClientSession() as session, session.post(address, json={"webhookUrl": url}) as answer:
        assert answer.status == 200


@pytest.mark.timeout(120)
async def test_from_webhook_to_polling_and_back_under_traffic(tmp_path: Path, report: Report) -> None:
    simulator = Simulator(speed=20)
    account = simulator.add(FIRST)
    with Router(tmp_path) as router:
        by_webhook = (tmp_path / "routes.yaml").read_text()
        router.start()
        async with simulator.serve(), relay(router) as url:
            async with traffic(account) as happened:
                await set_webhook_url(simulator, account, url)
                await until(lambda: router.record.count("end") > 100, what="messages by webhook")

                instance = f'{{id: {FIRST}, api_url: "{simulator.url}", token: "{account.token}"'
                polled = f"instances:\n  - {instance}, transport: polling, receive_timeout: 5s}}\n"
                (tmp_path / "routes.yaml").write_text(polled + by_webhook)
                codes = [await asyncio.to_thread(router.stop)]
                await asyncio.to_thread(router.start)
                await until(lambda: router.logged("polling.lost"), what="that a webhookUrl is set")
                await set_webhook_url(simulator, account, "")
                await until(lambda: router.logged("polling.restored"), what="that none is set any more")
                before = router.record.count("end")
                await until(lambda: router.record.count("end") > before + 100, what="messages by polling")

                await set_webhook_url(simulator, account, url)
                await until(lambda: len(router.logged("polling.lost")) == 2, what="that one is set again")
                (tmp_path / "routes.yaml").write_text(by_webhook)
                codes.append(await asyncio.to_thread(router.stop))
                await asyncio.to_thread(router.start)
                before = router.record.count("end")
                await until(
                    lambda: router.record.count("end") > before + 100, what="messages by webhook again"
                )
            await until(lambda: not account.queued, what="the end of the queue")
            verdict = await judge(router, happened)
            codes.append(await asyncio.to_thread(router.stop))
    events = dict(router.query("SELECT transport, count(*) FROM events WHERE chat NOTNULL GROUP BY 1"))
    report(f"{verdict}; by {events}")

    assert codes == [0, 0, 0]
    assert (verdict.lost, verdict.repeated, verdict.violations) == ([], 0, [])
    assert sum(events.values()) == verdict.answered
    assert min(events.values()) > 100
    assert ["webhook" in record["error"] for record in router.logged("polling.lost")] == [True, True]
