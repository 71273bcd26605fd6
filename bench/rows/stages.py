"""Where the time of a notification goes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median

from bench import closed_loop
from bench.figures import Figure
from bench.others import bare
from bench.routers import Router
from bench.rows import Effort, Row
from bench.servers import Cpu, Server

ABOUT = """\
The load of *Throughput of the webhook*, on servers that do more and more of the work: the bare application,
and `router serve` with one `routes.yaml` after another. A figure is the processor time per notification, as
the kernel counts it, less that of the server in the line above:

- *the webhook*: the router answers, and takes nothing in.
- *parse, validate, normalize, match*: no route wants the notification.
- *the line in the log*: the same with `logging.level: DEBUG`, so that this is told.
- *store the event*: the same with `inbox.keep_unrouted: true`: dedup key, the way to the writer's thread and
  back, SQL, the disk.
- *store the delivery*: a route wants it, whose one handler never ends.
- *claim, call, settle*: the handler does nothing. This is the whole router.

In the writer's thread *user* is mostly SQL, *system* mostly `pwrite` and `fdatasync`. A server that does less
is faster, so other numbers of notifications share a turn of its loop or a commit: the lines say about where
the time goes, not what leaving something out would save.
"""

_ANSWERING = Path(__file__).parents[1] / "baselines" / "answering.py"
_ELSEWHERE = "{name: all, type: outgoingMessageReceived, handler: nothing}"
_HANGING = "{name: all, type: incomingMessageReceived, handler: hang, concurrency: 1, timeout: 1h}"
_WHOLE = "{name: all, type: incomingMessageReceived, handler: nothing}"
_DEBUG = {"level": "DEBUG", "format": "json"}
_KEEPING = {"url": "sqlite:///router.db", "keep_unrouted": True}


@dataclass(frozen=True, slots=True)
class Stage:
    """A server that does a part of the work, and what its turns took."""

    #: What it does, and the one before does not.
    name: str
    start: AbstractContextManager[Server]
    #: Counts what it did, where that can be seen.
    done: Callable[[], int] = lambda: 0
    #: Waits until all of it is done.
    wait: Callable[[], None] = lambda: None
    #: Of each turn, in µs per notification: all threads, and all but that of the event loop.
    cpu: list[float] = field(default_factory=list)
    writer: list[Cpu] = field(default_factory=list)

    def take_turn(self, server: Server, run: str, seconds: float, log: Path) -> None:
        """Send notifications, and see that what is done with each was done with all."""
        done, cpu, loop = self.done(), server.cpu(), server.cpu_of_event_loop()
        load = closed_loop.load(server.url, run, seconds, log)
        self.wait()
        cpu, loop = server.cpu() - cpu, server.cpu_of_event_loop() - loop
        if found := self.done():
            closed_loop.require_all(load, found - done, f"times this was done: {self.name}")
        self.cpu.append(cpu.total / load.requests * 1e6)
        self.writer.append((cpu - loop).per(load.requests))


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Let the servers take turns, and compare each with the one before."""
    stages = _stages(folder)
    with ExitStack() as running:
        servers = [running.enter_context(stage.start) for stage in stages]
        for turn in range(effort.rounds):
            for number, (stage, server) in enumerate(zip(stages, servers, strict=True)):
                stage.take_turn(server, f"{turn} {number}", effort.seconds / 2, folder / "wrk.log")
    return [
        Figure.of_rounds(stages[0].name, stages[0].cpu, "µs"),
        *(_difference(stage, before) for before, stage in pairwise(stages)),
        _whole(stages[-1]),
    ]


def _stages(folder: Path) -> list[Stage]:
    answering = Router(folder / "answering", _WHOLE)
    matching = Router(folder / "matching", _ELSEWHERE)
    telling = Router(folder / "telling", _ELSEWHERE, logging=_DEBUG)
    keeping = Router(folder / "keeping", _ELSEWHERE, logging=_DEBUG, inbox=_KEEPING)
    queueing = Router(folder / "queueing", _HANGING)
    whole = Router(folder / "whole", _WHOLE)
    return [
        Stage("the bare application", bare(folder)),
        Stage("the webhook", answering.serve(str(_ANSWERING))),
        Stage("parse, validate, normalize, match", matching.serve()),
        Stage("the line in the log", telling.serve(), lambda: telling.lines("notification.unrouted")),
        Stage("store the event", keeping.serve(), lambda: keeping.inbox.events_of(closed_loop.KIND)),
        Stage("store the delivery", queueing.serve(), lambda: sum(queueing.inbox.deliveries().values())),
        Stage(
            "claim, call, settle",
            whole.serve(),
            lambda: whole.inbox.deliveries().get("done", 0),
            whole.inbox.wait_until_settled,
        ),
    ]


def _difference(stage: Stage, before: Stage) -> Figure:
    rounds = [cpu - less for cpu, less in zip(stage.cpu, before.cpu, strict=True)]
    return Figure.of_rounds(stage.name, rounds, "µs")


def _whole(stage: Stage) -> Figure:
    user, system = (median(getattr(cpu, kind) for cpu in stage.writer) for kind in ("user", "system"))
    detail = f"in the writer's thread user {user:.0f} µs, system {system:.0f} µs"
    return Figure.of_rounds("all", stage.cpu, "µs", detail=detail)


ROW = Row(name="stages", title="Where the time of a notification goes", about=ABOUT, measure=measure)
