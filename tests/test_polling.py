from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import orjson
import pytest
from anyio import fail_after

from router.errors import (
    InboxUnavailable,
    InstanceNotReady,
    NotHandled,
    ServerError,
    Unauthorized,
    WebhookUrlIsSet,
)
from router.events import Receipt, ReceiptStatus, Transport
from router.greenapi import notifications
from router.greenapi.client import GreenApi
from router.greenapi.notifications import Notification
from router.inbox.pollers import AllOurs
from router.transports import polling
from router.transports.polling import Poller, Polling
from tests.conftest import Log
from tests.greenapi.scripted import HANG_UP, SILENCE, Reply, Request, Scripted

TOKEN = "d75b3a66374942c5"
ID = 1101000001


@dataclass
class Queue:
    """GREEN-API's queue of one instance; scripted replies come first."""

    waiting: list[tuple[int, bytes]] = field(default_factory=list)
    #: Replies that the next requests of a method get instead.
    scripted: dict[str, list[Reply]] = field(default_factory=dict)
    #: Receipts in the order of their deletion.
    deleted: list[int] = field(default_factory=list)
    #: Whether an empty queue is told at once.
    is_hasty: bool = False
    #: Set when all scripted replies were given and nothing waits.
    drained: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, *bodies: bytes) -> None:
        for body in bodies:
            self.waiting.append((len(self.waiting) + len(self.deleted) + 1, body))

    async def answer(self, request: Request) -> Reply:
        if self.scripted.get(request.method):
            return self.scripted[request.method].pop(0)
        if request.method == "deleteNotification":
            return Reply(content={"result": self._delete(int(request.path.rpartition("/")[2])), "reason": ""})
        if self.waiting:
            receipt, body = self.waiting[0]
            return Reply(content=b'{"receiptId":%d,"body":%b}' % (receipt, body))
        if not any(self.scripted.values()):
            self.drained.set()
        return Reply() if self.is_hasty else SILENCE

    def _delete(self, receipt: int) -> bool:
        if not self.waiting or self.waiting[0][0] != receipt:
            return False
        self.waiting.pop(0)
        self.deleted.append(receipt)
        return True


@dataclass
class Store:
    """What is behind the poller: notes what it is given, and fails as it is told."""

    failures: list[Exception] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    stored: list[bytes] = field(default_factory=list)
    #: What `receive` waits for.
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def receive(self, body: bytes, transport: Transport, instance: int | None = None) -> Receipt:
        assert (transport, instance) == (Transport.POLLING, ID)
        self.received.append(body)
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.stored.append(body)
        return Receipt(ReceiptStatus.ACCEPTED, "0190-1")


@dataclass
class Watcher:
    """Notes what it is told."""

    told: list[object] = field(default_factory=list)

    def lost(self, instance: int, error: Exception) -> None:
        self.told.append(type(error))

    def restored(self, instance: int) -> None:
        self.told.append("restored")


@dataclass
class Shared:
    """Says whose an instance is, as it is told; notes what happens."""

    log: list[str] = field(default_factory=list)
    is_ours: asyncio.Event = field(default_factory=asyncio.Event)
    is_wanted: asyncio.Event = field(default_factory=asyncio.Event)

    async def taken(self, instance: int) -> None:
        await self.is_ours.wait()
        self.log.append("taken")

    async def asked_back(self, instance: int) -> None:
        await self.is_wanted.wait()

    def give_back(self, instance: int) -> None:
        self.log.append("given back")
        self.is_wanted.clear()


@dataclass
class Run:
    queue: Queue
    store: Store
    watcher: Watcher
    server: Scripted
    #: Seconds that the poller waited, in order.
    waits: list[float]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let the poller's waits pass at once, and note them."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        await anyio.lowlevel.checkpoint()

    monkeypatch.setattr(polling, "sleep", sleep)
    return waited


@asynccontextmanager
async def poll(queue: Queue, store: Store, waits: list[float]) -> AsyncIterator[Run]:
    """Poll the queue until the block ends."""
    watcher = Watcher()
    async with Scripted(queue.answer).serving() as server, GreenApi() as green_api:
        api = green_api.instance(ID, server.url, TOKEN)
        poller = Poller(api, 5, store.receive, watcher, random=lambda: 0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(poller.run)
            yield Run(queue, store, watcher, server, waits)
            poller.stop()


async def until(condition: Callable[[], object]) -> None:
    with fail_after(20):
        while not condition():
            await asyncio.sleep(0)


def body(number: int) -> bytes:
    return b'{"typeWebhook":"incomingCall","idMessage":"%d"}' % number


async def test_notifications_are_stored_then_deleted_in_order(waits: list[float]) -> None:
    queue = Queue()
    queue.put(*map(body, range(5)))
    async with poll(queue, Store(), waits) as run:
        await queue.drained.wait()
    assert run.store.stored == [body(number) for number in range(5)]
    assert queue.deleted == [1, 2, 3, 4, 5]
    assert run.server.methods == [*["receiveNotification", "deleteNotification"] * 5, "receiveNotification"]
    assert run.server.requests[0].query == {"receiveTimeout": "5"}
    assert (run.waits, run.watcher.told) == ([], [])


async def test_nothing_is_deleted_that_is_not_stored(waits: list[float], log: Log) -> None:
    queue = Queue()
    queue.put(body(1))
    failures: list[Exception] = [
        InboxUnavailable("disk full"),
        NotHandled("failed"),
        ZeroDivisionError("bug"),
    ]
    async with poll(queue, Store(failures), waits) as run:
        await queue.drained.wait()
    assert run.server.methods == [*["receiveNotification"] * 4, "deleteNotification", "receiveNotification"]
    assert run.store.received == [body(1)] * 4
    assert waits == [1, 2, 4]
    assert run.watcher.told == [ZeroDivisionError, "restored"]
    assert [event for _, event in log.events] == ["polling.lost", "polling.failed", "polling.restored"]


FAILURES: dict[str, tuple[Reply, list[float]]] = {
    "500": (Reply(status=500), [1, 2, 4, 8]),
    "502 as HTML": (Reply(status=502, content="<h1>Bad Gateway</h1>"), [1, 2, 4, 8]),
    "429": (Reply(status=429), [1, 2, 4, 8]),
    "429 that says when": (Reply(status=429, headers={"Retry-After": "7"}), [7, 7, 7, 8]),
    "a connection that is closed": (HANG_UP, [1, 2, 4, 8]),
    "an answer that is cut off": (Reply(content=b'{"receiptId":1}', cut_after=5), [1, 2, 4, 8]),
    "a page": (Reply(content="<html>Welcome</html>"), [1, 2, 4, 8]),
    "401": (Reply(status=401, content=b""), [10, 20, 40, 80]),
    "403": (Reply(status=403), [10, 20, 40, 80]),
    "404": (Reply(status=404, content="<html>"), [10, 20, 40, 80]),
    "466": (Reply(status=466), [10, 20, 40, 80]),
    "a webhook URL": (Reply(status=400, content="custom webhook url is set"), [10, 20, 40, 80]),
    "not authorized": (Reply(status=400, content="instance account not authorized"), [10, 20, 40, 80]),
}


@pytest.mark.parametrize(("reply", "expected"), FAILURES.values(), ids=FAILURES.keys())
@pytest.mark.parametrize("method", ["receiveNotification", "deleteNotification"])
async def test_what_fails_is_tried_again_ever_later_and_told_once(
    method: str, reply: Reply, expected: list[float], waits: list[float], log: Log
) -> None:
    queue = Queue(scripted={method: [reply] * 4})
    queue.put(body(1), body(2))
    async with poll(queue, Store(), waits) as run:
        await queue.drained.wait()
        await until(lambda: "restored" in run.watcher.told)
    assert queue.deleted == [1, 2]
    assert set(run.store.stored) == {body(1), body(2)}
    assert waits[:4] == expected
    assert [event for _, event in log.events if event != "polling.not_deleted"] == [
        "polling.lost",
        "polling.restored",
    ]
    assert run.watcher.told[-1] == "restored"
    assert TOKEN not in log.text


async def test_a_bug_of_the_client_does_not_end_the_polling(
    waits: list[float], log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    bugs: list[Exception] = [RecursionError(), ValueError()]

    def read(answer: bytes) -> Notification | None:
        if bugs:
            raise bugs.pop(0)
        return notifications.read(answer)

    monkeypatch.setattr("router.greenapi.client.read", read)
    queue = Queue()
    queue.put(body(1))
    async with poll(queue, Store(), waits):
        await queue.drained.wait()
    assert waits == [1, 2]
    assert queue.deleted == [1]
    assert len(log.named("polling.failed")) == 2


async def test_a_moments_trouble_is_no_alert(waits: list[float]) -> None:
    queue = Queue(scripted={"receiveNotification": [Reply(status=502)] * 2})
    async with poll(queue, Store(), waits) as run:
        queue.put(body(1))
        await queue.drained.wait()
    assert run.watcher.told == ["restored"]


@pytest.mark.parametrize(
    ("reply", "times", "told"),
    [
        (Reply(status=502), 4, [ServerError, ServerError]),
        (Reply(status=401), 1, [Unauthorized]),
        (Reply(status=400, content="custom webhook url is set"), 2, [WebhookUrlIsSet] * 2),
        (Reply(status=400, content="instance account not authorized"), 1, [InstanceNotReady]),
    ],
)
async def test_who_watches_is_told_of_what_lasts_or_needs_a_person(
    reply: Reply, times: int, told: list[object], waits: list[float]
) -> None:
    queue = Queue(scripted={"receiveNotification": [reply] * times})
    queue.put(body(1))
    async with poll(queue, Store(), waits) as run:
        await queue.drained.wait()
    assert run.watcher.told == [*told, "restored"]


async def test_a_delete_is_repeated_without_storing_again(waits: list[float]) -> None:
    queue = Queue(scripted={"deleteNotification": [Reply(status=500), Reply(status=503), Reply(status=502)]})
    queue.put(body(1))
    async with poll(queue, Store(), waits) as run:
        await queue.drained.wait()
    assert run.store.received == [body(1)]
    assert run.server.methods == ["receiveNotification", *["deleteNotification"] * 4, "receiveNotification"]


@pytest.mark.parametrize("result", [True, False])
async def test_a_receipt_that_does_not_go_away_is_no_busy_loop_and_is_told(
    result: bool, waits: list[float], log: Log
) -> None:
    queue = Queue(scripted={"deleteNotification": [Reply(content={"result": result, "reason": ""})] * 5})
    queue.put(body(1), body(2))
    async with poll(queue, Store(), waits) as run:
        await queue.drained.wait()
    assert waits == [1, 2, 4, 8, 16]
    assert queue.deleted == [1, 2]
    assert run.watcher.told == [ServerError, ServerError, ServerError, "restored"]
    assert "stays in the queue" in log.named("polling.lost")[0]["error"]


@pytest.mark.parametrize("reply", [Reply(status=204), Reply(content="<html>Welcome</html>"), HANG_UP])
async def test_what_was_deleted_without_saying_so_does_not_block_the_queue(
    reply: Reply, waits: list[float]
) -> None:
    class Silent(Queue):
        async def answer(self, request: Request) -> Reply:
            answer = await super().answer(request)
            return reply if answer.content == {"result": True, "reason": ""} else answer

    queue = Silent()
    queue.put(body(1), body(2))
    async with poll(queue, Store(), waits) as run:
        await queue.drained.wait()
    assert queue.deleted == [1, 2]
    assert run.store.stored == [body(1), body(2)]


async def test_empty_answers_at_once_are_no_busy_loop(waits: list[float]) -> None:
    queue = Queue(is_hasty=True)
    async with poll(queue, Store(), waits):
        await until(lambda: len(waits) >= 6)
        assert waits[:6] == [0.5, 1, 2, 4, 5, 5]
        queue.put(body(1))
        await until(lambda: queue.deleted)
        seen = len(waits)
        await until(lambda: len(waits) > seen + 1)
        assert 0.5 in waits[6:]  # a notification ends it


async def test_an_answer_without_a_receipt_is_a_failure(waits: list[float], log: Log) -> None:
    queue = Queue(scripted={"receiveNotification": [Reply(content=[]), Reply(content=7)]})
    queue.put(body(1))
    async with poll(queue, Store(), waits):
        await queue.drained.wait()
    assert waits == [1, 2]
    assert "expected a receiptId, found none" in log.named("polling.lost")[0]["error"]


@pytest.mark.parametrize("empty", [b"null", b"", b'"null"', b"{}"])
async def test_an_empty_answer_is_no_failure(empty: bytes, waits: list[float], log: Log) -> None:
    queue = Queue(scripted={"receiveNotification": [Reply(content=empty)]})
    queue.put(body(1))
    async with poll(queue, Store(), waits):
        await queue.drained.wait()
    assert queue.deleted == [1]
    assert log.events == []


@pytest.mark.parametrize(
    "odd", [b'{"typeWebhook":', b"[1,2]", b'"text"', b"null", b"{}", b'{"a":\xff}', b"{'a': 1}"]
)
async def test_whatever_the_notification_it_is_stored_and_does_not_block_the_queue(
    odd: bytes, waits: list[float]
) -> None:
    queue = Queue()
    queue.put(odd, body(2))
    async with poll(queue, Store(), waits) as run:
        await queue.drained.wait()
    assert run.store.stored == [odd, body(2)]
    assert queue.deleted == [1, 2]


async def test_an_answer_broken_by_accident_is_not_taken_for_the_notification(waits: list[float]) -> None:
    whole = b'{"receiptId":1,"body":%b}' % body(1)
    accidents = [Reply(content=whole[:40]), Reply(content=whole[:20]), Reply(content=whole[:40])]
    queue = Queue(scripted={"receiveNotification": accidents})
    queue.put(body(1))
    async with poll(queue, Store(), waits) as run:
        await queue.drained.wait()
    assert run.store.stored == [body(1)]


async def test_a_server_that_is_silent_beyond_its_time(
    waits: list[float], monkeypatch: pytest.MonkeyPatch, log: Log
) -> None:
    monkeypatch.setattr("router.greenapi.client._LATE", -4.9)
    queue = Queue(scripted={"receiveNotification": [SILENCE, SILENCE]})
    queue.put(body(1))
    async with poll(queue, Store(), waits):
        await until(lambda: queue.deleted)
    assert waits[:2] == [1, 2]
    assert log.named("polling.lost")[0]["error"].endswith("no answer within 0.1 s")


async def test_a_long_poll_is_given_up_when_the_router_stops(waits: list[float]) -> None:
    queue = Queue()
    with fail_after(1):
        async with poll(queue, Store(), waits):
            await queue.drained.wait()


async def test_a_wait_is_given_up_when_the_router_stops() -> None:
    queue = Queue(scripted={"receiveNotification": [Reply(status=401)] * 100})
    with fail_after(2):
        async with poll(queue, Store(), []) as run:
            await until(lambda: run.watcher.told)


async def test_what_is_being_stored_when_the_router_stops_is_deleted_too(waits: list[float]) -> None:
    queue, store = Queue(), Store()
    queue.put(body(1), body(2))
    store.gate.clear()
    async with poll(queue, store, waits) as run:
        await until(lambda: store.received)
        asyncio.get_running_loop().call_soon(store.gate.set)
    assert (store.stored, queue.deleted) == ([body(1)], [1])
    assert run.server.methods == ["receiveNotification", "deleteNotification"]


async def test_one_instance_does_not_hold_up_another_nor_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "_GRACE", 0.05)
    seen: list[int] = []

    async def receive(body: bytes, transport: Transport, instance: int | None = None) -> Receipt:
        assert instance is not None
        if instance == 1:
            await asyncio.Event().wait()
        seen.append(instance)
        return Receipt(ReceiptStatus.ACCEPTED, "0190-1")

    queues = {1: Queue(), 2: Queue()}
    for queue in queues.values():
        queue.put(body(1), body(2))

    async def answer(request: Request) -> Reply:
        return await queues[int(request.path.split("/")[1].removeprefix("waInstance"))].answer(request)

    async with Scripted(answer).serving() as server, GreenApi() as green_api:
        instances = [(green_api.instance(number, server.url, TOKEN), 5.0) for number in queues]
        polled = Polling(instances, receive, AllOurs(), Watcher())
        with fail_after(5):
            async with anyio.create_task_group() as tasks:
                await tasks.start(polled.run)
                await queues[2].drained.wait()
                await polled.stop()
    assert seen == [2, 2]
    assert [queue.deleted for queue in queues.values()] == [[], [1, 2]]


async def test_the_rate_of_requests_is_bounded_whatever_is_answered() -> None:
    queue = Queue()
    queue.put(*(orjson.dumps({"n": number}) for number in range(30)))
    async with poll(queue, Store(), []) as run:
        await queue.drained.wait()
    received = [request.at for request in run.server.requests if request.method == "receiveNotification"]
    assert received[-1] - received[0] >= 30 / 100 * 0.9


# Where others may poll the same instance


@asynccontextmanager
async def take_turns(queue: Queue, store: Store, shared: Shared) -> AsyncIterator[Run]:
    """Poll the queue whenever it is ours, until the block ends."""
    watcher = Watcher()
    async with Scripted(queue.answer).serving() as server, GreenApi() as green_api:
        instances = [(green_api.instance(ID, server.url, TOKEN), 5.0)]
        polled = Polling(instances, store.receive, shared, watcher)
        with fail_after(20):
            async with anyio.create_task_group() as tasks:
                await tasks.start(polled.run)
                yield Run(queue, store, watcher, server, [])
                await polled.stop()


async def test_an_instance_is_polled_once_it_is_ours() -> None:
    queue, shared = Queue(), Shared()
    queue.put(body(1))
    async with take_turns(queue, Store(), shared) as run:
        await anyio.wait_all_tasks_blocked()
        assert run.server.methods == []
        shared.is_ours.set()
        await queue.drained.wait()
    assert queue.deleted == [1]
    assert shared.log == ["taken", "given back"]


async def test_an_instance_that_never_becomes_ours_does_not_hold_up_the_stop() -> None:
    shared = Shared()
    async with take_turns(Queue(), Store(), shared) as run:
        await anyio.wait_all_tasks_blocked()
    assert (run.server.methods, shared.log) == ([], [])


async def test_what_is_being_stored_when_an_instance_is_asked_back_is_deleted_first() -> None:
    queue, store, shared = Queue(), Store(), Shared()
    queue.put(body(1), body(2))
    store.gate.clear()
    shared.is_ours.set()
    async with take_turns(queue, store, shared) as run:
        await until(lambda: store.received)
        shared.is_ours.clear()
        shared.is_wanted.set()
        await anyio.wait_all_tasks_blocked()
        assert shared.log == ["taken"]
        store.gate.set()
        await until(lambda: "given back" in shared.log)
        assert run.server.methods == ["receiveNotification", "deleteNotification"]
        shared.is_ours.set()
        await until(lambda: len(queue.deleted) == 2)
    assert store.stored == [body(1), body(2)]
    assert shared.log == ["taken", "given back", "taken", "given back"]


async def test_a_long_poll_is_given_up_when_an_instance_is_asked_back() -> None:
    queue, shared = Queue(), Shared()
    shared.is_ours.set()
    async with take_turns(queue, Store(), shared):
        await queue.drained.wait()
        shared.is_ours.clear()
        shared.is_wanted.set()
        await until(lambda: shared.log == ["taken", "given back"])


async def test_trouble_with_an_instance_is_over_for_who_gives_it_back() -> None:
    queue, shared = Queue(scripted={"receiveNotification": [Reply(status=401)] * 9}), Shared()
    shared.is_ours.set()
    async with take_turns(queue, Store(), shared) as run:
        await until(lambda: run.watcher.told)
        shared.is_ours.clear()
        shared.is_wanted.set()
        await until(lambda: "given back" in shared.log)
        assert run.watcher.told == [Unauthorized, "restored"]
