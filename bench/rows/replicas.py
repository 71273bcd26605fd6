"""Several replicas on one PostgreSQL: how much they do together, and in which order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from bench.figures import Budget, Figure, percentile, ratios
from bench.postgres import postgres
from bench.replicas import Replicas, Turn
from bench.rows import Effort, Row

ABOUT = """\
Two routers with one inbox in PostgreSQL (its defaults: `fsync` and `synchronous_commit` are on), and wrk,
which sends to both at once, 16 connections each, notifications of the same 500 chats. A turn goes from the
first notification to the last settled delivery. PostgreSQL and the routers share both processors, and wrk has
what it needs of the second: each of them would have processors of its own elsewhere.

- *One hot lane*: three of ten notifications are of one chat more; the figure is the time per notification,
  as a ratio to that without.
- *Order violations*: deliveries that were handled before an earlier one of their chat, or beside it, or more
  than once, found in the inbox afterwards by what the notifications say and by the times of the attempts.
- *1, 2, 3 replicas*: the same, and then with a handler that waits 20 ms, ten at a time in each replica
  (`concurrency: 10`), which is what bounds it. With a handler that does nothing the two processors are the
  bound, however many routers share them.
"""

_WAITING = "outgoingMessageReceived"
_AT_ONCE, _WAITS = 10, 0.02
_HOW = f"handler: record, concurrency: {_AT_ONCE}, options: {{seconds: {_WAITS}}}"
_ROUTES = (
    "{name: all, type: incomingMessageReceived, handler: nothing}",
    f"{{name: waiting, type: {_WAITING}, {_HOW}}}",
)
_MOST = 3


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Let one, two and three replicas work, two of them also with a hot lane."""
    plain: dict[int, list[Turn]] = defaultdict(list)
    waiting: dict[int, Turn] = {}
    hot: list[Turn] = []
    seconds = effort.seconds / 2
    with postgres(folder) as database, Replicas(folder, database, *_ROUTES) as replicas:
        for count in range(1, _MOST + 1):
            replicas.join()
            replicas.take_turn(f"warm-up {count}", 1)
            for turn in range(effort.rounds):
                plain[count].append(replicas.take_turn(f"{count} {turn}", seconds))
                if count == 2:
                    hot.append(replicas.take_turn(f"hot {turn}", seconds, hot=True))
            waiting[count] = replicas.take_turn(f"waiting {count}", 1, kind=_WAITING)
        violations = database.inbox.violations()
        done = database.inbox.deliveries()["done"]
    return [
        _rate("two replicas", plain[2], Budget(at_least=2_000)),
        _hot(plain[2], hot),
        Figure(
            name="order violations",
            value=violations,
            unit="",
            budget=Budget(at_most=0),
            detail=f"{done:,} deliveries of all turns",
        ),
        *(_rate(_name(count), turns) for count, turns in plain.items() if count != 2),
        *(_grown(count, plain) for count in range(2, _MOST + 1)),
        *(_waiting(count, turn) for count, turn in waiting.items()),
    ]


def _rate(name: str, turns: Sequence[Turn], budget: Budget | None = None) -> Figure:
    seconds = sum(turn.seconds for turn in turns)
    replicas, database = (
        sum(getattr(turn, of).total for turn in turns) / seconds for of in ("replicas", "database")
    )
    detail = f"of two processors the routers have {replicas:.2f}, PostgreSQL {database:.2f}"
    return Figure.of_rounds(name, [turn.rate for turn in turns], "/s", budget=budget, detail=detail)


def _hot(plain: Sequence[Turn], hot: Sequence[Turn]) -> Figure:
    rounds = ratios([turn.rate for turn in plain], [turn.rate for turn in hot])
    return Figure.of_rounds(
        "one hot lane with 30 % of the load, time per notification: with it / without",
        rounds,
        "×",
        budget=Budget(at_most=2.0),
        detail=f"{percentile([turn.rate for turn in hot], 50):,.0f}/s with it",
    )


def _grown(count: int, plain: dict[int, list[Turn]]) -> Figure:
    rounds = ratios([turn.rate for turn in plain[count]], [turn.rate for turn in plain[1]])
    return Figure.of_rounds(f"{_name(count)} / one", rounds, "×")


def _waiting(count: int, turn: Turn) -> Figure:
    bound = count * _AT_ONCE / _WAITS
    return Figure(
        name=f"{_name(count)}, a handler that waits 20 ms",
        value=turn.rate,
        unit="/s",
        detail=f"at most {bound:,.0f}/s would be possible; {turn.requests:,} notifications",
    )


def _name(count: int) -> str:
    return ("one replica", "two replicas", "three replicas")[count - 1]


ROW = Row(name="replicas", title="Several replicas on PostgreSQL", about=ABOUT, measure=measure)
