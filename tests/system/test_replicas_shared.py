"""What replicas share beside the lanes: who polls an instance, keys, what plugins remember, and replies."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import orjson
import pytest

from tests.greenapi.scripted import Reply, Request, Scripted
from tests.system.conftest import Report
from tests.system.judge import until
from tests.system.replicas.fleet import Fleet
from tests.system.replicas.judge import judge
from tests.system.replicas.load import Answered, load_on
from tests.system.replicas.running import three
from tests.system.replicas.servers import Server
from tests.system.sender import notification
from tests.system.standin import TOKEN, StandIn

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

#: Instances that are polled.
POLLED = range(1101000001, 1101000010)
#: How many instances each replica polls, beginning with the one that polls least.
SHARES = "SELECT count(*) FROM router.pollers WHERE owner IS NOT NULL GROUP BY owner ORDER BY 1"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


class Queues(StandIn):
    """GREEN-API's queues, for replicas with an inbox in PostgreSQL. Each has a token that ends with its name.

    Args:
        server: Of the replicas' database.
    """

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        self.database = ""

    def is_stored(self, body: bytes) -> bool:
        """See `StandIn.is_stored`."""
        stored = f"SELECT 1 FROM router.events WHERE body = '\\x{body.hex()}'"
        return bool(self._server.query(self.database, stored))

    def turns(self, instance: int) -> list[str]:
        """Return the replicas that polled an instance, in order, each once for all requests in a row."""
        names = [request.path.rpartition(TOKEN)[2].split("/")[0] for request in self.requests(instance)]
        return [name for name, _ in groupby(names)]


async def test_each_polled_instance_has_one_poller_whoever_dies(
    server: Server, tmp_path: Path, report: Report
) -> None:
    queues = Queues(server)
    async with queues.server.serving():
        settings = queues.instances(POLLED).replace(TOKEN, f"{TOKEN}${{REPLICA}}")
        async with three(server, tmp_path, settings=settings) as (fleet, ask):
            queues.database = fleet.url
            await until(lambda: ask(SHARES) == [(3,)] * 3, what="three instances for each")
            sent = put(queues, 1, 20)
            await until(lambda: len(queues.deleted) > 60, what="some that were taken")
            await asyncio.to_thread(fleet.replicas[0].kill)
            await until(lambda: ask(SHARES) == [(4,), (5,)], what="a takeover")
            sent += put(queues, 21, 30)
            await until(lambda: queues.is_drained, what="queues that are empty")
            await asyncio.to_thread(fleet.replicas[0].start)
            await until(lambda: ask(SHARES) == [(3,)] * 3, what="three for each again")
            code = await asyncio.to_thread(fleet.replicas[1].stop)
            sent += put(queues, 31, 40)
            await until(lambda: queues.is_drained, what="queues that are empty again")
            verdict = await judge(fleet, ask, answered(ask, sent))
            turns = {instance: queues.turns(instance) for instance in POLLED}
            taken = Counter(record["idInstance"] for record in fleet.logged("polling.taken"))
            report(f"{verdict}; turns {sum(map(len, turns.values()))}, taken {taken.total()} times")

            assert (verdict.wrong, verdict.overlaps, queues.too_early, code) == ([], [], [], 0)
            # Two that poll one instance at the same time would take turns with every request.
            assert [turns[instance] for instance in POLLED if len(turns[instance]) > taken[instance]] == []
            assert {name for names in turns.values() for name in names} == {"r1", "r2", "r3"}


def put(queues: Queues, first: int, last: int) -> list[tuple[str, int]]:
    """Let notifications happen in all instances, one chat each; return their chats and numbers."""
    for instance in POLLED:
        for number in range(first, last + 1):
            queues.put(instance, notification(f"polled{instance}", number, instance=instance))
    return [(f"polled{instance}", number) for instance in POLLED for number in range(first, last + 1)]


def answered(ask: Callable[[str], object], sent: list[tuple[str, int]]) -> list[Answered]:
    """Return what was deleted as if it had been answered, with the ids that the inbox gave."""
    rows = ask(
        "SELECT id, convert_from(body, 'UTF8')::json #>> '{messageData,textMessageData,textMessage}' "
        "FROM router.events"
    )
    ids = {text: event for event, text in rows}  # type: ignore[attr-defined]
    return [
        Answered(chat, number, 0, ids.get(f"{chat} {number}", "none"), "accepted", 0.0, 0.0, 1)
        for chat, number in sent
    ]


async def test_a_key_is_new_once_and_what_is_remembered_goes_along(
    server: Server, tmp_path: Path, report: Report
) -> None:
    async with three(
        server,
        tmp_path,
        *(
            "{name: once, type: incomingMessageReceived, handler: once}",
            "{name: remember, type: incomingMessageReceived, handler: remember, options: {takes: 20ms}}",
        ),
    ) as (fleet, ask):
        async with load_on(lambda: fleet.replicas, every=0.02) as load:
            await load.until(200)
            await asyncio.to_thread(fleet.replicas[0].kill)
            await until(lambda: fleet.logged("inbox.took_over"), what="a takeover")
            await load.until(200)
        verdicts = [await judge(fleet, ask, load.answered, route=route) for route in ("once", "remember")]
        said = [line.split() for line in (tmp_path / "said").read_text().splitlines()]
        firsts = Counter(words[1] for words in said if words[0] == "first")
        remembered = [
            (int(last), int(number)) for what, *of in said if what == "last" for _, last, number in [of]
        ]
        never = {str(one.number) for one in load.answered} - set(firsts)
        report(f"{verdicts[0]}; {len(firsts)} keys, new and not told to anybody {len(never)}")

        assert [verdict.wrong for verdict in verdicts] == [[], []]
        assert set(firsts.values()) == {1}
        assert len(never) <= 16  # what ran when it was killed, behind `once`
        # Where it ran twice it remembers itself.
        assert [pair for pair in remembered if pair[0] not in (pair[1], pair[1] - 1)] == []


async def test_a_reply_is_sent_once_whichever_replica_sends_it(
    server: Server, tmp_path: Path, report: Report
) -> None:
    sent: Counter[str] = Counter()

    async def answer(request: Request) -> Reply:
        sent[orjson.loads(request.body)["message"]] += 1
        await asyncio.sleep(0.01)
        return Reply(content={"idMessage": f"BAE5{sent.total()}"})

    green_api = Scripted(answer)
    async with green_api.serving():
        settings = instances(green_api.url, 12)
        route = "{name: all, type: incomingMessageReceived, handler: answer, options: {takes: 20ms}}"
        async with three(server, tmp_path, route, settings=settings) as (fleet, ask):
            async with load_on(lambda: fleet.replicas) as load:
                await load.until(100)
                assert await asyncio.to_thread(fleet.replicas[2].stop) == 0
                await asyncio.to_thread(fleet.replicas[2].start)
                assert doubts(fleet) == []
                await load.until(100)
                await asyncio.to_thread(fleet.replicas[0].kill)
                await until(lambda: fleet.logged("inbox.took_over"), what="a takeover")
                await load.until(100)
            verdict = await judge(fleet, ask, load.answered, dead=dead(ask))
            report(f"{verdict}; replies {sent.total()}, in doubt {len(doubts(fleet))}")

            assert verdict.wrong == []
            assert set(sent.values()) == {1}
            unsent = {f"{one.chat} {one.number}" for one in load.answered} - set(sent)
            assert unsent <= {f"{chat} {number}" for _, chat, number in dead(ask)}
            assert len(doubts(fleet)) == len(dead(ask)) <= 16  # what was under way in the one that was killed


def instances(url: str, count: int) -> str:
    """Return the lines for ``routes.yaml`` of instances that send to webhooks."""
    lines = [
        f'  - {{id: {1101000001 + number}, api_url: "{url}", token: "{TOKEN}"}}' for number in range(count)
    ]
    return "\n".join(["instances:", *lines])


def doubts(fleet: Fleet) -> list[object]:
    """Return what the operator is shown as in doubt."""
    found = orjson.loads(fleet.run("outbox", "list", "--json"))
    assert isinstance(found, list)
    return found


def dead(ask: Callable[[str], object]) -> list[tuple[str, str, int]]:
    """Return route, chat and number of each dead letter."""
    rows = ask(
        "SELECT d.route, convert_from(e.body, 'UTF8')::json #>> '{messageData,textMessageData,textMessage}' "
        "FROM router.deliveries d JOIN router.events e ON e.seq = d.event WHERE d.status = 'dead'"
    )
    return [(route, text.split()[0], int(text.split()[1])) for route, text in rows]  # type: ignore[attr-defined]
