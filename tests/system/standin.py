"""A GREEN-API written apart from ``router simulate``: queues that are polled, and faults by chance.

At each deletion it looks into the router's inbox: what is deleted has to stand there already.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from random import Random

from tests.greenapi.scripted import HANG_UP, Answering, Reply, Request, Scripted

TOKEN = "d75b3a66374942c5b3c019c698abc2067e151558acbd412345"
#: Seconds that a request is held open while nothing waits: the shortest that GREEN-API has.
HELD = 5

_NGINX = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
#: What may be answered instead, whether or not what was asked for was done.
_INSTEAD = {
    "500": Reply(status=500),
    "502": Reply(status=502, content=_NGINX),
    "503": Reply(status=503, content={"message": "try later"}),
    "a page": Reply(content=_NGINX),
    "a hang-up": HANG_UP,
    "429": Reply(status=429, headers={"Retry-After": "1"}),
    "null": Reply(),
    "an empty body": Reply(content=b""),
}
_OF_RECEIVE = [*_INSTEAD, "cut off", "torn", "deleted before"]
_OF_DELETE = [*_INSTEAD, "cut off", "result false"]


class StandIn:
    """Queues of some instances.

    Args:
        inbox: The router's file. What has another inbox says itself what `is_stored`.
        faults: How likely it is that an answer is not what it should be, from 0 to 1.
        instead: Answers one instance's requests, in place of its queue.
    """

    def __init__(
        self, inbox: Path = Path(), *, faults: float = 0.0, instead: Mapping[int, Answering] | None = None
    ) -> None:
        self.server = Scripted(self._answer)
        #: What waits: receipt and body, by instance.
        self.queues: dict[int, deque[tuple[int, bytes]]] = defaultdict(deque)
        self.deleted: list[bytes] = []
        #: Of these, what was not in the inbox.
        self.too_early: list[bytes] = []
        #: Which faults happened how often.
        self.happened: Counter[str] = Counter()
        self.faults = faults
        self._inbox = inbox
        self._instead = instead or {}
        self._receipt = 0
        self._chances: dict[int, Random] = {}
        self._last: dict[int, Reply] = {}

    def put(self, instance: int, *bodies: bytes) -> None:
        """Let notifications happen."""
        for body in bodies:
            self._receipt += 1
            self.queues[instance].append((self._receipt, body))

    @property
    def is_drained(self) -> bool:
        """Whether nothing waits any more."""
        return not any(self.queues.values())

    def requests(self, instance: int) -> list[Request]:
        """Return what was asked for an instance, in order."""
        return [request for request in self.server.requests if instance_of(request) == instance]

    def instances(self, ids: Iterable[int], *, more: str = "") -> str:
        """Return the lines for ``routes.yaml``; ``more`` stands in each instance."""
        common = f'api_url: "{self.server.url}", token: "{TOKEN}", transport: polling'
        lines = [f"  - {{id: {each}, {common}, receive_timeout: {HELD}s{more}}}" for each in ids]
        return "\n".join(["instances:", *lines])

    async def _answer(self, request: Request) -> Reply:
        instance = instance_of(request)
        if instance in self._instead:
            reply = self._instead[instance](request)
            return reply if isinstance(reply, Reply) else await reply
        chance = self._chances.setdefault(instance, Random(f"20261124 {instance}"))
        goes_wrong = chance.random() < self.faults
        if request.method == "deleteNotification":
            receipt = int(request.path.rpartition("/")[2])
            return self._delete(instance, receipt, chance if goes_wrong else None)
        return await self._receive(instance, chance if goes_wrong else None)

    async def _receive(self, instance: int, chance: Random | None) -> Reply:
        queue = self.queues[instance]
        with suppress(TimeoutError):
            async with asyncio.timeout(HELD):
                while not queue:
                    await asyncio.sleep(0.02)
        if not queue:
            return Reply()
        receipt, body = queue[0]
        whole = Reply(content=b'{"receiptId":%d,"body":%b}' % (receipt, body))
        before, self._last[instance] = self._last.get(instance, whole), whole
        return self._wrongly(chance, _OF_RECEIVE, whole, before) if chance else whole

    def _delete(self, instance: int, receipt: int, chance: Random | None) -> Reply:
        queue = self.queues[instance]
        is_head = bool(queue) and queue[0][0] == receipt
        if is_head and (chance is None or chance.random() < 0.5):
            self._take(queue.popleft()[1])
        whole = Reply(content={"result": is_head, "reason": "" if is_head else "already deleted"})
        return self._wrongly(chance, _OF_DELETE, whole, whole) if chance else whole

    def _take(self, body: bytes) -> None:
        self.deleted.append(body)
        if not self.is_stored(body):
            self.too_early.append(body)

    def is_stored(self, body: bytes) -> bool:
        """Look into the inbox."""
        with closing(sqlite3.connect(f"{self._inbox.as_uri()}?mode=ro", uri=True)) as db:
            return db.execute("SELECT 1 FROM events WHERE body = ?", (body,)).fetchone() is not None

    def _wrongly(self, chance: Random, faults: list[str], whole: Reply, before: Reply) -> Reply:
        fault = chance.choice(faults)
        self.happened[fault] += 1
        size = len(whole.body())
        match fault:
            case "cut off":
                return Reply(content=whole.content, cut_after=chance.randrange(size))
            case "torn":  # the length is that of the half
                return Reply(content=whole.body()[: chance.randrange(1, size)])
            case "deleted before":
                return before
            case "result false":
                return Reply(content={"result": False, "reason": "not found"})
        return _INSTEAD[fault]


def instance_of(request: Request) -> int:
    """Return whose API was asked."""
    return int(request.path.split("/")[1].removeprefix("waInstance"))


def most_in_a_second(requests: Iterable[Request]) -> int:
    """Return how many requests of one method of one instance came within any one second, at most."""
    most, windows = 0, defaultdict[tuple[int, str], deque[float]](deque)
    for request in requests:
        window = windows[instance_of(request), request.method]
        window.append(request.at)
        while window[0] <= request.at - 1:
            window.popleft()
        most = max(most, len(window))
    return most
