from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import inf

import pytest

from router.alerts.groups import Group, Groups
from router.events import Alert, AlertKind, JsonObject, Report

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
EVERY = 600.0
KINDS = frozenset({*AlertKind, "recovered"})

#: Subject, how often, how often since the last message, whether it is over.
Told = tuple[str, int, int, bool]


def compose(report: Report, since_last: int) -> Alert:
    return Alert(
        id=f"{report.subject} at {report.last_at}",
        kind=report.kind,
        subject=report.subject,
        count=report.count,
        since_last=since_last,
        first_at=report.first_at,
        last_at=report.last_at,
        is_recovered=report.is_recovered,
        facts=report.facts,
        title="",
        text="",
    )


class Channel:
    """A channel with a clock that is set by hand."""

    def __init__(self, kinds: frozenset[str] = KINDS) -> None:
        self.groups = Groups(kinds, EVERY)
        self.now = 0.0
        self.counts: dict[tuple[AlertKind, str], int] = {}

    def happens(self, subject: str = "orders", kind: AlertKind = AlertKind.DEAD, **facts: object) -> bool:
        count = self.counts[kind, subject] = self.counts.get((kind, subject), 0) + 1
        return self.groups.add(self._report(kind, subject, count, facts), self.now)

    def ends(self, subject: str = "orders", kind: AlertKind = AlertKind.DEAD) -> bool:
        count = self.counts.pop((kind, subject))
        return self.groups.add(self._report(kind, subject, count, {}, is_recovered=True), self.now)

    def _report(
        self, kind: AlertKind, subject: str, count: int, facts: JsonObject, *, is_recovered: bool = False
    ) -> Report:
        return Report(
            kind=kind,
            subject=subject,
            count=count,
            first_at=START,
            last_at=START + timedelta(seconds=self.now),
            is_recovered=is_recovered,
            facts=facts,
        )

    def take(self) -> tuple[Group, Alert]:
        group = self.groups.due(self.now)
        assert group is not None, "something is due"
        return group, self.groups.take(group, compose)

    def sends(self) -> list[Told]:
        """Send all that is due now; return what it was."""
        return [told(alert) for alert in self.alerts()]

    def alerts(self) -> list[Alert]:
        alerts = []
        while self.groups.due(self.now) is not None:
            group, alert = self.take()
            self.groups.sent(group, self.now)
            alerts.append(alert)
        return alerts

    def fails(self, again_in: float) -> Told:
        """Fail to send what is due first; return what it was."""
        group, alert = self.take()
        self.groups.failed(group, self.now + again_in)
        return told(alert)


def told(alert: Alert) -> Told:
    return alert.subject, alert.count, alert.since_last, alert.is_recovered


@pytest.fixture
def channel() -> Channel:
    return Channel()


def test_the_first_is_due_at_once(channel: Channel) -> None:
    assert channel.happens()
    assert channel.sends() == [("orders", 1, 1, False)]
    assert channel.groups.next_at() == inf


def test_what_happens_within_every_is_told_when_it_has_passed_with_its_count(channel: Channel) -> None:
    channel.happens()
    channel.sends()
    for channel.now in (1.0, 2.0, 599.0):
        channel.happens()
        assert channel.sends() == []
    assert channel.groups.next_at() == EVERY
    channel.now = EVERY
    assert channel.sends() == [("orders", 4, 3, False)]


def test_facts_are_those_of_the_first_since_the_last_message(channel: Channel) -> None:
    channel.happens(delivery=1)
    channel.alerts()
    channel.happens(delivery=2)
    channel.happens(delivery=3)
    channel.now = EVERY
    (alert,) = channel.alerts()
    assert alert.facts == {"delivery": 2}


def test_what_happens_after_every_is_told_at_once(channel: Channel) -> None:
    channel.happens()
    channel.sends()
    channel.now = EVERY
    channel.happens()
    assert channel.sends() == [("orders", 2, 1, False)]


def test_other_subjects_and_kinds_are_told_for_themselves(channel: Channel) -> None:
    channel.happens("orders")
    channel.happens("audit")
    channel.happens("orders", AlertKind.INVALID)
    assert len(channel.sends()) == 3


def test_only_the_kinds_of_the_channel_are_told() -> None:
    channel = Channel(frozenset({AlertKind.QUIET.value}))
    assert not channel.happens()
    channel.happens("1101", AlertKind.QUIET)
    assert channel.sends() == [("1101", 1, 1, False)]
    channel.ends("1101", AlertKind.QUIET)
    assert channel.sends() == []  # `recovered` is not among them


def test_the_end_is_told_at_once_if_the_beginning_was(channel: Channel) -> None:
    channel.happens()
    channel.sends()
    channel.now = 5.0
    channel.happens()
    channel.ends()
    assert channel.sends() == [("orders", 2, 1, True)]
    channel.now = 2 * EVERY
    assert channel.sends() == []


def test_what_ends_before_it_was_told_is_one_message(channel: Channel) -> None:
    channel.happens()
    channel.ends()
    assert channel.sends() == [("orders", 1, 1, True)]


def test_what_was_never_told_here_has_no_end(channel: Channel) -> None:
    channel.counts[AlertKind.DEAD, "orders"] = 1
    channel.ends()
    assert channel.sends() == []


def test_what_comes_and_goes_all_the_time_is_told_once_per_every_and_its_end_once(channel: Channel) -> None:
    messages = []
    for second in range(1_201):
        channel.now = float(second)
        channel.happens() if second % 2 == 0 else channel.ends()
        messages += [(channel.now, *message) for message in channel.sends()]
    assert messages == [
        (0.0, "orders", 1, 1, False),
        (1.0, "orders", 1, 0, True),
        (600.0, "orders", 1, 300, False),
        (601.0, "orders", 1, 0, True),
        (1200.0, "orders", 1, 300, False),
    ]


def test_what_failed_is_tried_again_as_it_was_and_the_rest_follows(channel: Channel) -> None:
    channel.happens()
    assert channel.fails(again_in=5) == ("orders", 1, 1, False)
    channel.happens()
    assert channel.sends() == []
    channel.now = 5.0
    group, alert = channel.take()
    assert (told(alert), group.failures) == (("orders", 1, 1, False), 1)
    channel.groups.sent(group, channel.now)
    channel.now = 5.0 + EVERY
    assert channel.sends() == [("orders", 2, 1, False)]
    assert group.failures == 0


def test_what_is_over_before_its_next_attempt_is_told_to_be_over_only(channel: Channel) -> None:
    channel.happens()
    channel.fails(again_in=5)
    channel.ends()
    channel.now = 5.0
    assert channel.sends() == [("orders", 1, 1, True)]


@pytest.mark.parametrize("is_sent", [True, False])
def test_what_is_over_while_it_is_being_sent(channel: Channel, is_sent: bool) -> None:
    channel.happens()
    group, _ = channel.take()
    channel.ends()
    if is_sent:
        channel.groups.sent(group, channel.now)
        assert channel.sends() == [("orders", 1, 0, True)]
    else:
        channel.groups.failed(group, 5.0)
        assert channel.sends() == []
        channel.now = 5.0
        assert channel.sends() == [("orders", 1, 1, True)]


def test_what_begins_and_ends_while_its_end_is_being_sent_is_not_told(channel: Channel) -> None:
    channel.happens()
    channel.sends()
    channel.ends()
    group, alert = channel.take()
    channel.happens()
    channel.ends()
    channel.groups.sent(group, channel.now)
    channel.now = EVERY
    assert (told(alert), channel.sends()) == (("orders", 1, 0, True), [])


def test_ten_thousand_subjects_are_a_few_messages_with_a_count(channel: Channel) -> None:
    messages = []
    for number in range(10_000):
        channel.now = number * 60 / 10_000
        channel.happens(f"type-{number}", AlertKind.UNKNOWN_TYPE)
        messages += channel.sends()
    assert [message[0] for message in messages] == [
        *(f"type-{number}" for number in range(5)),
        "1000 or more others",
    ]
    channel.now = 2 * EVERY
    messages += channel.sends()
    assert sum(since_last for *_, since_last, _ in messages) == 10_000
    assert len(messages) == 7


def test_a_flood_of_one_kind_holds_up_no_other(channel: Channel) -> None:
    for number in range(100):
        channel.happens(f"type-{number}", AlertKind.UNKNOWN_TYPE)
    channel.sends()
    channel.happens("orders")
    assert channel.sends() == [("orders", 1, 1, False)]


def test_the_end_of_many_is_told_once_when_it_is_over_for_all(channel: Channel) -> None:
    for number in range(200):
        channel.happens(str(number), AlertKind.INSTANCE_DOWN)
    channel.now = 10.0
    assert ("195 others", 195, 195, False) in channel.sends()
    for number in range(199):
        channel.ends(str(number), AlertKind.INSTANCE_DOWN)
    assert [message[0] for message in channel.sends()] == [str(number) for number in range(5)]
    channel.ends("199", AlertKind.INSTANCE_DOWN)
    assert channel.sends() == [("the others", 195, 0, True)]


def test_ever_new_subjects_over_days_do_not_fill_the_memory(channel: Channel) -> None:
    for number in range(1_000):
        channel.now += EVERY
        channel.happens(f"type-{number}", AlertKind.UNKNOWN_TYPE)
        assert len(channel.sends()) == 1
    assert len(list(channel.groups._all())) < 150


def test_at_the_end_what_waits_is_due_and_what_is_held_back_is_not(channel: Channel) -> None:
    channel.happens("told")
    channel.sends()
    channel.happens("told")
    channel.happens("failed")
    channel.fails(again_in=100)
    channel.groups.hasten(channel.now)
    assert channel.sends() == [("failed", 1, 1, False)]
    assert channel.groups.next_at() == inf


def test_at_the_end_the_others_are_not_gathered_any_longer(channel: Channel) -> None:
    for number in range(7):
        channel.happens(str(number), AlertKind.QUIET)
    assert len(channel.sends()) == 5
    channel.groups.hasten(channel.now)
    assert channel.sends() == [("2 others", 2, 2, False)]


def test_what_is_dropped_may_be_told_again_after_every(channel: Channel) -> None:
    channel.happens()
    group, _ = channel.take()
    channel.groups.dropped(group, channel.now)
    channel.happens()
    assert channel.sends() == []
    channel.now = EVERY
    assert channel.sends() == [("orders", 2, 1, False)]
