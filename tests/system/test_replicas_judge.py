"""The judge of replicas, on histories that are made up: it has to see what is wrong with each."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.inbox.postgres.database import Database
from tests.system.replicas.judge import (
    AUDIT,
    RULES,
    Line,
    broken_rules,
    handlings,
    lost,
    overlaps,
    read,
    repeats,
    stale_settles,
    taken_over_after,
    violations,
)
from tests.system.replicas.load import Answered

GOOD = "a1+ a1- a2+ a2-"


def history(text: str) -> list[Line]:
    """Return lines of one chat: in ``a1+ a1- b2!`` replica, number, and start, end or failure."""
    whats = {"+": "start", "-": "end", "!": "fail"}
    return [
        Line(float(at), whats[mark], replica, "all", "chat", int(number), f"event{number}", 1, replica)
        for at, (replica, number, mark) in enumerate(map(tuple, text.split()), 1)
    ]


def answered(*numbers: int) -> list[Answered]:
    return [
        Answered("chat", number, 1, f"event{number}", "accepted", 0.0, 0.0, tries=1) for number in numbers
    ]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        pytest.param(GOOD, 0, id="in order"),
        pytest.param("a1+ b1+ b1- b2+ b2-", 0, id="taken over in the middle"),
        pytest.param("a1+ a1- a2+ b1+ b1- b2+ b2-", 0, id="repeated after a takeover"),
        pytest.param("a1+ b1+ b1- b2+ a1- b2-", 0, id="of one that stood still"),
        pytest.param("a1+ a1! b1+ b1- a2+ a2-", 0, id="failed, then done"),
        pytest.param("a2+ a2- a1+ a1-", 2, id="the second first"),
        pytest.param("a1+ a1- a3+ a3-", 1, id="one left out"),
        pytest.param("a1+ b2+ a1- b2-", 1, id="the second before the end of the first"),
        pytest.param("a1+ b2+ b2-", 1, id="the second though the first never ended"),
        pytest.param("a1+ a1! a2+ a2-", 1, id="the second though the first failed"),
    ],
)
def test_what_begins_out_of_turn_is_a_violation(text: str, wrong: int) -> None:
    assert len(violations(handlings(history(text)))) == wrong


def test_nobody_waits_for_a_dead_letter() -> None:
    assert violations(handlings(history("a1+ a1! a2+ a2-")), dead={("all", "chat", 1)}) == []


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        (GOOD, 0),
        ("a1+ b1+ b1-", 0),  # the first of them ended with its process
        ("a1+ b1+ b1- a1-", 1),
        ("a1+ b2+ a1- b2-", 1),
        ("a1+ b1+ c1+ c1- b1- a1-", 3),
    ],
)
def test_handlings_of_one_lane_at_the_same_time_are_overlaps(text: str, pairs: int) -> None:
    assert len(overlaps(handlings(history(text)))) == pairs


@pytest.mark.parametrize(
    ("text", "count"), [(GOOD, 0), ("a1+ a1! a1+ a1-", 0), ("a1+ b1+ b1-", 1), ("a1+ a1- b1+ b1- b1+", 2)]
)
def test_what_is_begun_again_without_having_failed_is_a_repeat(text: str, count: int) -> None:
    assert repeats(history(text)) == count


@pytest.mark.parametrize(
    ("text", "missing"), [(GOOD, []), ("a1+ a1-", [2]), ("a1+ a1- a2+", [2]), ("a1+ a1- a2+ a2!", [2])]
)
def test_what_never_came_to_its_end_is_lost(text: str, missing: list[int]) -> None:
    assert lost(history(text), answered(1, 2)) == [("all", "chat", number) for number in missing]


def test_a_takeover_lasts_until_another_replica_goes_on_in_the_lane() -> None:
    found = handlings(history("a1+ b1+ b1- b2+"))

    assert taken_over_after(found, at=1.5, dead="a") == [0.5]
    assert taken_over_after(found, at=0.5, dead="a") == []


def test_the_records_of_all_processes_are_read_by_time(tmp_path: Path) -> None:
    (tmp_path / "r1-10").write_text("1.5 start r1 all chat 1 event1 1\n4.0 end r1 all chat 1 event1 1\n")
    (tmp_path / "r2-11").write_text("2.5 start r2 all chat 2 event2 1\n")

    assert [(line.at, line.what, line.file) for line in read(tmp_path)] == [
        (1.5, "start", "r1-10"),
        (2.5, "start", "r2-11"),
        (4.0, "end", "r1-10"),
    ]


def test_an_outcome_of_one_that_does_not_run_the_lane_is_stale() -> None:
    names = {10: "r1", 11: "r2"}
    rows = [(1, "done", "r1", "host/10"), (2, "done", "r1", "host/11"), (3, "done", "r2", None)]

    assert [found.split(":")[1] for found in stale_settles(rows, names)] == [
        " delivery 2 done by r1, its lane is of r2",
        " delivery 3 done by r2, its lane is of None",
    ]


BROKEN = {
    "lane without anything unfinished": "INSERT INTO lanes (route, lane, last) VALUES ('all', 'other', 1)",
    "unfinished delivery without a lane": "DELETE FROM lanes",
    "lane of nobody who lives": "UPDATE lanes SET owner = 7",
    "delivery that is not settled": "SELECT",
    "delivery without its event": "INSERT INTO deliveries (event, route, lane, status, attempts) "
    "VALUES (9, 'all', 'a', 'done', 1)",
    "attempts that do not count up": "UPDATE deliveries SET status = 'done', attempts = 2",
}


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_finds_what_breaks_it(rule: str, postgres_url: str) -> None:
    with Database(postgres_url).connect_now() as connection:
        connection.execute(
            "INSERT INTO events (seq, id, status, transport, received_at, body) "
            "VALUES (1, 'one', 'accepted', 'webhook', now(), '');"
            "INSERT INTO deliveries (event, route, lane) VALUES (1, 'all', 'a');"
            "INSERT INTO lanes (route, lane, last) VALUES ('all', 'a', 1)"
        )
        connection.execute(BROKEN[rule].encode())

        found = broken_rules(lambda statement: connection.execute(statement.encode()).fetchall())

    assert rule in {found_one.split(":")[0] for found_one in found}


def test_where_all_is_done_no_rule_is_broken(postgres_url: str) -> None:
    with Database(postgres_url).connect_now() as connection:
        connection.execute(
            "INSERT INTO events (seq, id, status, transport, received_at, body) "
            "VALUES (1, 'one', 'accepted', 'webhook', now(), '');"
            "INSERT INTO deliveries (event, route, lane, status, attempts) VALUES (1, 'all', 'a', 'done', 1)"
        )

        assert broken_rules(lambda statement: connection.execute(statement.encode()).fetchall()) == []


def test_who_settles_is_noted_with_the_owner_of_the_lane(postgres_url: str) -> None:
    mark = "&" if "?" in postgres_url else "?"
    with Database(f"{postgres_url}{mark}application_name=r1").connect_now() as connection:
        connection.execute(AUDIT.encode())
        connection.execute(
            "INSERT INTO replicas (name, expires_at) VALUES ('host/11', now());"
            "INSERT INTO deliveries (event, route, lane) VALUES (1, 'all', 'a');"
            "INSERT INTO lanes (route, lane, last, owner) VALUES ('all', 'a', 1, (SELECT id FROM replicas));"
            "UPDATE deliveries SET status = 'done'"
        )
        rows = connection.execute("SELECT status, writer, owner FROM settled").fetchall()

    assert rows == [("done", "r1", "host/11")]
