"""The parts of `bench` that decide: what is read, what is refused, what is told. Nothing is measured here."""

from __future__ import annotations

import json
import platform
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psycopg
import pytest

from bench import closed_loop, inbox_file, open_loop, report, starts
from bench.figures import Budget, CannotMeasure, Figure, percentile, ratios
from bench.inbox_database import InboxDatabase
from bench.inbox_file import InboxFile
from bench.machine import Fsync, cores, facts, fsync_times
from bench.neighbours import used
from bench.queues import Queues, queues
from bench.report import Result, Results
from bench.routers import Router
from bench.rows.all import ROWS
from bench.servers import Cpu, cpu_of, cpu_of_ended, memory_of
from router.config import read
from router.inbox import Done
from router.inbox.sqlite.inbox import SqliteInbox
from router.validation import Validator
from tests.inbox.build import ROUTES, attempt, claim, entry, event

ROOT = Path(__file__).parent.parent


# Figures


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([7.0], 99, 7.0),
        ([3.0, 1.0, 2.0], 50, 2.0),
        ([float(n) for n in range(1, 101)], 99, 99.0),
        ([float(n) for n in range(1, 101)], 100, 100.0),
        ([1.0, 2.0], 0, 1.0),
    ],
)
def test_a_percentile_is_the_value_at_its_rank(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(CannotMeasure, match="nothing was measured"):
        percentile([], 99)


def test_ratios_are_those_of_each_round() -> None:
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]


def test_a_figure_of_rounds_is_the_median_with_the_spread() -> None:
    figure = Figure.of_rounds("f", [3.0, 1.0, 2.0], "×")
    assert (figure.value, figure.spread) == (2.0, (1.0, 3.0))


@pytest.mark.parametrize(
    ("budget", "met"),
    [
        (Budget(at_least=2.0), True),
        (Budget(at_least=2.1), False),
        (Budget(at_most=2.0), True),
        (Budget(at_most=1.9), False),
        (None, None),
    ],
)
def test_a_figure_knows_whether_its_budget_is_kept(budget: Budget | None, met: bool | None) -> None:
    assert Figure(name="f", value=2.0, unit="s", budget=budget).is_met is met


# What load generators print


def test_wrk_is_read_by_the_line_of_our_script() -> None:
    printed = 'Running 4s test\n  Requests/sec: 12.00\n{"requests":48,"microseconds":4000000,"errors":0}\n'
    assert closed_loop.parse(printed) == closed_loop.Load(48, 4.0)


@pytest.mark.parametrize(
    ("printed", "message"),
    [
        ('{"requests":48,"microseconds":4000000,"errors":1}', "not every notification was answered"),
        ('{"requests":0,"microseconds":4000000,"errors":0}', "not every notification was answered"),
        ("Requests/sec: 12.00", "did not print"),
        ("", "did not print"),
    ],
)
def test_a_run_of_wrk_is_refused(printed: str, message: str) -> None:
    with pytest.raises(CannotMeasure, match=message):
        closed_loop.parse(printed)


def point(metric: str, second: float, value: float, status: str = "200") -> bytes:
    at = f"2026-11-24T12:20:{second:012.9f}Z"
    data = {"time": at, "value": value, "tags": {"status": status}}
    return json.dumps({"metric": metric, "type": "Point", "data": data}).encode()


def test_answers_of_the_warm_up_are_sent_but_do_not_count() -> None:
    lines = [
        b'{"type":"Metric","metric":"http_req_duration","data":{}}',
        point("http_req_duration", 10.2, 0.5),
        point("http_req_duration", 10.0, 99.0),
        point("http_req_waiting", 12.0, 7.0),
        point("http_req_duration", 11.0, 0.25),
    ]
    assert open_loop.parse(lines, 1.0) == open_loop.Answers(3, [0.25])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([point("http_req_duration", 10, 1, "503"), point("http_req_duration", 10, 1)], "^1 .* not answered"),
        ([point("http_req_duration", 10, 1), point("dropped_iterations", 10, 3)], "3 not sent in time"),
        ([], "sent nothing"),
    ],
)
def test_a_run_of_k6_is_refused(lines: list[bytes], message: str) -> None:
    with pytest.raises(CannotMeasure, match=message):
        open_loop.parse(lines, 1.0)


# What the kernel and the router tell


def test_processor_time_is_read_whatever_the_program_is_called() -> None:
    fields = " ".join(str(number) for number in range(4, 53))
    cpu = cpu_of(f"17 (a (b) c) S {fields}")
    # Fields 14 and 15 of proc(5), in ticks of 10 ms.
    assert (cpu.user, cpu.system) == (0.14, 0.15)
    assert (cpu - Cpu(0.04, 0.05) + Cpu(1, 1)).total == pytest.approx(2.2)
    assert cpu_of_ended(f"17 (a (b) c) S {fields}") == Cpu(0.16, 0.17)


def test_memory_is_read_in_megabytes() -> None:
    assert memory_of("Name:\tx\nVmHWM:\t  2000 kB\nVmRSS:\t  1000 kB\n", "VmRSS") == 1.024


def test_time_that_processors_worked_is_all_but_idleness_and_interrupts() -> None:
    assert used("cpu  100 20 3 9999 9999 9999 9999 400 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n") == 5.23


NOTED = "e1,a@c.us,100.000000,100.001000\ne2,b@c.us,101.500000,101.502000\n"


def test_lags_are_from_receipt_to_start_and_leave_out_the_warm_up() -> None:
    noted = starts.parse(NOTED)
    assert starts.lags(noted) == pytest.approx([1.0, 2.0])
    assert [start.event for start in starts.after(noted, 1.0)] == ["e2"]
    assert starts.after([], 1.0) == []


def test_lags_from_the_answer_begin_at_the_line_of_the_log() -> None:
    log = [
        b'{"timestamp":"1970-01-01T00:01:41.501000Z","event":"notification.accepted","event_id":"e2"}\n',
        b'{"timestamp":"1970-01-01T00:01:41.501000Z","event":"router.stopped"}\n',
    ]
    first, second = starts.parse(NOTED)
    assert starts.lags_from_answer([second], log) == pytest.approx([1.0])
    with pytest.raises(CannotMeasure, match="event e1 was handled, but is not in the log"):
        starts.lags_from_answer([first, second], log)


# The inbox's file


async def filled(path: Path, chats: str) -> None:
    inbox = SqliteInbox(path, ROUTES)
    await inbox.open()
    for number, chat in enumerate(chats):
        of = replace(event(number, chat=chat), id=f"01a20cc7-{number:04x}-7000-8000-000000000000")
        await inbox.put(entry(of))
    await inbox.close()


async def test_a_multiplied_inbox_is_one_that_the_router_delivers_in_order(tmp_path: Path) -> None:
    few, many = tmp_path / "few.db", tmp_path / "many.db"
    await filled(few, "aab")

    assert inbox_file.multiply(few, many, 7) == 9

    inbox = SqliteInbox(many, {"orders": 1})
    await inbox.open()
    delivered = []
    for _ in range(9):
        claimed = await claim(inbox)
        delivered.append((claimed.lane, claimed.id, claimed.event.id_message))
        inbox.settle(claimed, Done(attempt()))
    await inbox.close()
    of_a = [(number, message) for lane, number, message in delivered if lane == "a"]
    assert of_a == [(1, "M0"), (2, "M1"), (4, "M0"), (5, "M1"), (7, "M0"), (8, "M1")]
    assert InboxFile(many).deliveries() == {"done": 9}


async def test_each_event_of_a_multiplied_inbox_is_one_of_its_own(tmp_path: Path) -> None:
    few, many = tmp_path / "few.db", tmp_path / "many.db"
    await filled(few, "ab")
    inbox_file.multiply(few, many, 6)
    with closing(sqlite3.connect(many)) as db:
        events = db.execute("SELECT count(*), count(DISTINCT id), count(DISTINCT key) FROM events").fetchone()
        deliveries = db.execute("SELECT count(DISTINCT event) FROM deliveries").fetchone()
    assert (events, deliveries) == ((6, 6, 6), (6,))


async def test_commits_and_what_is_unsettled_are_counted_beside_a_running_router(tmp_path: Path) -> None:
    path = tmp_path / "router.db"
    inbox, seen = SqliteInbox(path, ROUTES), InboxFile(path)
    await inbox.open()
    await inbox.put(entry(event(1)))
    before = seen.commits()
    await inbox.put(entry(event(2)))
    await inbox.put(entry(event(3, chat="b"), "audit"))
    assert seen.commits() == before + 2
    assert (seen.unsettled(), seen.unsettled("audit"), seen.unsettled("none")) == (3, 1, 0)
    await inbox.close()


# The inbox in PostgreSQL

#: Of deliveries their chat, idMessage, when they were begun, in milliseconds, and for how many, and attempts.
Handled = tuple[str, str, int, int, int]


def violations(url: str, *handled: Handled) -> int:
    with psycopg.connect(url, autocommit=True, options="-c search_path=router") as db:
        for number, (chat, sent, began, took, attempts) in enumerate(handled):
            db.execute(
                "INSERT INTO events (seq, id, chat, status, transport, received_at, body)"
                " VALUES (%s, %s, %s, 'accepted', 'webhook', now(), %s)",
                (number, str(number), chat, json.dumps({"idMessage": sent}).encode()),
            )
            db.execute(
                "INSERT INTO deliveries (event, route, lane, status, attempts, started_at, duration)"
                " VALUES (%s, 'all', %s, 'done', %s, to_timestamp(%s), %s)",
                (number, chat, attempts, began / 1e3, took / 1e3),
            )
    return InboxDatabase(url).violations()


@pytest.mark.parametrize(
    ("handled", "found"),
    [
        ([("a", "1 0-1", 0, 9, 1), ("a", "1 0-2", 9, 9, 1), ("b", "1 0-3", 5, 9, 1)], 0),
        ([("a", "1 0-1", 0, 9, 1), ("a", "1 1-1", 9, 9, 1)], 0),
        ([("a", "1 0-1", 0, 9, 1), ("a", "1 0-2", 5, 9, 1)], 1),
        ([("a", "1 0-2", 0, 2, 1), ("a", "1 0-1", 9, 2, 1)], 1),
        ([("a", "1 0-9", 0, 2, 1), ("a", "1 0-10", 9, 2, 1)], 0),
        ([("78000000000@c.us", "1 0-2", 0, 2, 1), ("78000000000@c.us", "1 0-1", 9, 2, 1)], 0),
        ([("78000000000@c.us", "1 0-1", 9, 2, 1), ("78000000000@c.us", "1 0-2", 0, 2, 1)], 1),
        ([("a", "1 0-1", 0, 9, 2)], 1),
    ],
    ids=["in order", "two runs", "beside", "turned round", "numbers", "hot", "hot, turned round", "again"],
)
def test_violations_of_the_order_are_counted(postgres_url: str, handled: list[Handled], found: int) -> None:
    assert violations(postgres_url, *handled) == found


def test_what_a_database_has_done_is_counted(postgres_url: str) -> None:
    inbox = InboxDatabase(postgres_url)
    before = inbox.usage()
    violations(postgres_url, ("a", "1 0-1", 0, 9, 1))
    used = inbox.usage() - before
    assert (used.events, used.transactions) == (1, 2)
    assert used.wal > 0
    assert inbox.deliveries() == {"done": 1}
    inbox.wait_until_settled()


# The router


def test_a_router_can_be_given_other_settings(tmp_path: Path) -> None:
    instance = {"id": 1101000001, "api_url": "http://127.0.0.1:1", "token": "secret"}
    router = Router(tmp_path, "{name: all, type: '*', handler: nothing}", instances=[instance])
    config = read(router.folder / "routes.yaml", {}).config()
    assert [instance.api_url for instance in config.instances] == ["http://127.0.0.1:1"]
    assert [route.name for route in config.routes] == ["all"]
    assert config.inbox.path == router.inbox.path


# The stand-in for GREEN-API's queues


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Queues]:
    try:
        cores()
    except CannotMeasure as exc:
        pytest.skip(str(exc))
    with queues(tmp_path) as api:
        yield api


class Poller:
    """Polls one instance."""

    def __init__(self, api: Queues, instance: int = 7) -> None:
        self._url = f"{api.server.url}/waInstance{instance}"

    def receive(self, timeout: str = "0") -> Any:
        """Return the notification, or ``None``."""
        return self._ask("GET", f"receiveNotification/token?receiveTimeout={timeout}")

    def delete(self, receipt: int) -> bool:
        """Return whether it was deleted."""
        return bool(self._ask("DELETE", f"deleteNotification/token/{receipt}")["result"])

    def _ask(self, method: str, path: str) -> Any:
        with urlopen(Request(f"{self._url}/{path}", method=method), timeout=30) as answer:
            return json.load(answer)


def test_the_head_of_a_queue_is_told_until_it_is_deleted(api: Queues) -> None:
    poller, other = Poller(api), Poller(api, 8)
    api.begin()
    first = poller.receive()
    assert (first["receiptId"], first["body"]["idMessage"]) == (1, "7-1")
    assert poller.receive() == first
    assert other.receive()["body"]["instanceData"]["idInstance"] == 8
    assert (poller.delete(2), poller.delete(1), poller.delete(1)) == (False, True, False)
    assert poller.receive()["receiptId"] == 2
    counts = api.counts()
    assert (counts.receive, counts.delete, counts.deleted, counts.told, counts.held) == (4, 3, 1, 2, 0)


def test_what_is_told_is_a_notification_that_is_valid(api: Queues) -> None:
    api.begin()
    assert Validator().problems(Poller(api).receive()["body"]) == []


def test_an_empty_queue_holds_a_request_until_its_time_is_over(api: Queues) -> None:
    assert Poller(api).receive("0.01") is None
    assert api.counts().receive == 1


def test_a_request_that_is_held_is_answered_when_there_is_something(api: Queues) -> None:
    with ThreadPoolExecutor() as threads:
        told = threads.submit(Poller(api).receive, "30")
        api.wait_for_pollers(1)
        api.begin()
        assert told.result()["receiptId"] == 1


def test_a_poller_that_is_gone_holds_nothing(api: Queues) -> None:
    with socket.create_connection(("127.0.0.1", int(api.server.url.rpartition(":")[2]))) as gone:
        gone.sendall(b"GET /waInstance7/receiveNotification/token?receiveTimeout=30 HTTP/1.1\r\n\r\n")
        api.wait_for_pollers(1)
    api.wait_for_pollers(0)


def test_the_end_waits_until_what_was_told_is_deleted(api: Queues) -> None:
    poller = Poller(api)
    api.begin()
    receipt = poller.receive()["receiptId"]
    with ThreadPoolExecutor() as threads:
        ended = threads.submit(api.end)
        assert poller.delete(receipt)
        ended.result()
    assert poller.receive() is None
    assert (api.counts().told, api.counts().deleted) == (0, 1)


# The report

FIGURES = [
    Figure.of_rounds("router / bare", [0.2, 0.3, 0.25], "×", budget=Budget(at_least=0.33), detail="a, b"),
    Figure(name="memory", value=80.0, unit="MB", budget=Budget(at_most=100)),
    Figure(name="rate", value=12_345.0, unit="/s"),
]
RESULT = Result(row="webhook", seconds=3.0, fsync=Fsync(0.1, 0.25), others=0.01, figures=tuple(FIGURES))


def results(*found: Result) -> Results:
    return Results(date="2026-11-24", machine={"processors": "2"}, results=found)


def test_the_table_has_a_line_for_each_figure() -> None:
    assert report.table(RESULT).splitlines() == [
        "webhook  (one fsync 0.10 ms, p99 0.25 ms; 3 s)",
        "  router / bare     0.25 ×  0.20–0.30  ≥ 0.33  MISSED  a, b",
        "  memory           80.0 MB             ≤ 100   ok",
        "  rate           12,345 /s",
    ]


def test_a_row_that_could_not_be_measured_says_why() -> None:
    broken = Result(row="webhook", seconds=3.0, fsync=Fsync(0.1, 0.25), others=0.01, problem="wrk is gone")
    assert "COULD NOT BE MEASURED: wrk is gone" in report.table(broken)
    assert "Could not be measured: wrk is gone" in report.page(results(broken), ROWS)


def test_a_row_that_was_disturbed_says_so() -> None:
    disturbed = replace(RESULT, others=0.4)
    assert "DISTURBED: others used 40% of the processors meanwhile" in report.table(disturbed)
    assert "**Disturbed**: others used 40% of the processors" in report.page(results(disturbed), ROWS)
    assert "isturbed" not in report.page(results(RESULT), ROWS)


def test_results_are_the_same_after_they_were_written_and_read() -> None:
    written = json.dumps(report.to_json(results(RESULT)))
    assert report.from_json(json.loads(written)) == results(RESULT)


def test_the_page_shows_machine_figures_and_what_they_mean() -> None:
    page = report.page(results(RESULT), ROWS)
    assert "| measured | 2026-11-24 |\n| --- | --- |\n| processors | 2 |" in page
    assert "| router / bare | 0.25 × (0.20–0.30) | ≥ 0.33 | **missed** | a, b |" in page
    assert "One fsync meanwhile: 0.10 ms, p99 0.25 ms." in page
    assert ROWS[0].about in page
    assert "{" not in page


def test_the_page_in_the_docs_is_that_of_the_last_results() -> None:
    last = report.from_json(json.loads((ROOT / "bench" / "results.json").read_text("utf-8")))
    assert (ROOT / "docs" / "reference" / "performance.md").read_text("utf-8") == report.page(last, ROWS)


def test_every_row_is_in_the_last_results() -> None:
    last = json.loads((ROOT / "bench" / "results.json").read_text("utf-8"))
    assert [row["row"] for row in last["rows"]] == [row.name for row in ROWS]


def test_the_facts_of_the_machine_name_neither_host_nor_paths(tmp_path: Path) -> None:
    told = json.dumps(facts(tmp_path))
    assert platform.node() not in told
    assert str(tmp_path) not in told


def test_the_disk_is_measured_on_the_disk_and_nothing_is_left(tmp_path: Path) -> None:
    assert min(fsync_times(tmp_path)) > 0
    assert list(tmp_path.iterdir()) == []


# The command


@pytest.mark.parametrize(
    ("arguments", "path", "code", "message"),
    [
        (["nonsense"], "/usr/bin:/bin", 2, "no row nonsense; there are webhook, stages, rate, polling"),
        (["webhook"], "/nowhere", 1, "wrk and taskset not found: apt-get install wrk util-linux"),
    ],
)
def test_the_command_says_what_is_wrong_and_what_to_do(
    arguments: list[str], path: str, code: int, message: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, message in ended.stderr) == (code, True), ended.stderr
