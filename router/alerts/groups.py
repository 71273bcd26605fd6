"""What one channel is still to tell: grouped by kind and subject, so however much happens, it stays little.

Pure: the time is an argument, in seconds, and nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from math import inf

from router.events import Alert, AlertKind, Report

#: In ``kinds``: the end of what was told is told as well.
RECOVERED = "recovered"

#: Subjects of a kind that are told one by one within ``every``; the others are told as one.
_ONE_BY_ONE = 5
#: Seconds for which the others are gathered.
_GATHERING = 10.0
#: Subjects of a kind that are remembered, and those among the others of which the end is told.
_REMEMBERED = 100
_REMEMBERED_OTHERS = 1_000


@dataclass(slots=True, eq=False)
class Group:
    """All that happens to one subject of a kind, or to the others of that kind."""

    #: What is to be told next; its facts are those of the first one since the last message.
    waiting: Report | None = None
    #: How often it has happened since the last message.
    since_last: int = 0
    #: What is being sent, or is to be sent again at ``due_at``.
    alert: Alert | None = None
    is_being_sent: bool = False
    #: How often that has failed.
    failures: int = 0
    #: When there is something to do.
    due_at: float = inf
    #: When it was last told that it happens; before ``every`` has passed it is not told again.
    told_at: float = -inf
    #: Whether the last message said that it happens, and not that it is over.
    is_told_to_last: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be told."""
        return self.waiting is None and self.alert is None

    def join(self, report: Report) -> Report:
        """Return what there is to tell of what waits and of this."""
        before = self.waiting
        return report if before is None or before.is_recovered else replace(report, facts=before.facts)


@dataclass(slots=True, eq=False)
class _Others(Group):
    """The subjects of a kind that are too many to be told one by one."""

    #: Those that wait to be told.
    new: set[str] = field(default_factory=set)
    #: Those that last, as far as they are remembered.
    lasting: set[str] = field(default_factory=set)
    #: Everything since none of them lasted.
    whole: Report | None = None

    def join(self, report: Report) -> Report:
        """Take in one of them; return what there is to tell of all that wait."""
        for subjects in (self.new, self.lasting):
            if len(subjects) < _REMEMBERED_OTHERS:
                subjects.add(report.subject)
        or_more = " or more" if len(self.new) == _REMEMBERED_OTHERS else ""
        self.whole = _joined(self.whole, replace(report, facts={}), "the others")
        return _joined(self.waiting, report, f"{len(self.new)}{or_more} others")

    def end(self, subject: str) -> Report | None:
        """Note that it is over for one of them; return what there is to tell when it is for all."""
        if subject not in self.lasting or self.whole is None:
            return None
        self.lasting.discard(subject)
        if self.lasting:
            return None
        whole, self.whole = self.whole, None
        return replace(whole, is_recovered=True)


class Groups:
    """The groups of one channel.

    Args:
        kinds: What is told; `RECOVERED` among them.
        every: Seconds between two messages about the same subject.
    """

    def __init__(self, kinds: Collection[str], every: float) -> None:
        self._kinds = kinds
        self._every = every
        self._groups: dict[AlertKind, dict[str, Group]] = {kind: {} for kind in AlertKind}
        self._others: dict[AlertKind, _Others] = {kind: _Others() for kind in AlertKind}

    def add(self, report: Report, now: float) -> bool:
        """Take in what has happened; return whether something may be due sooner than before."""
        if report.kind not in self._kinds:
            return False
        if report.is_recovered:
            return RECOVERED in self._kinds and self._end(report, now)
        return self._begin(report, now)

    def next_at(self) -> float:
        """Return when something is due."""
        return min(group.due_at for group in self._all())

    def due(self, now: float) -> Group | None:
        """Return the group that has been due for longest, if one is."""
        group = min(self._all(), key=lambda group: group.due_at)
        return group if group.due_at <= now else None

    def take(self, group: Group, compose: Callable[[Report, int], Alert]) -> Alert:
        """Return what is to be sent of a group that is due.

        Args:
            compose: Makes an alert of a report and how often it has happened since the last message.
        """
        if group.alert is None:
            assert group.waiting is not None, "a group is due because of what waits"
            group.alert, group.waiting = compose(group.waiting, group.since_last), None
            if isinstance(group, _Others):
                group.new.clear()
        group.is_being_sent, group.due_at = True, inf
        return group.alert

    def sent(self, group: Group, now: float) -> None:
        """Note that the group's alert was sent."""
        assert group.alert is not None, "what was sent was taken before"
        group.is_told_to_last = not group.alert.is_recovered
        self.dropped(group, now)

    def dropped(self, group: Group, now: float) -> None:
        """Note that the group's alert is done with."""
        assert group.alert is not None, "what is dropped was taken before"
        if not group.alert.is_recovered or group.told_at == -inf:
            group.told_at = now
        group.since_last -= group.alert.since_last
        group.alert, group.is_being_sent, group.failures = None, False, 0
        group.due_at = inf if group.waiting is None else self._earliest(group, group.waiting, now)

    def failed(self, group: Group, again_at: float) -> None:
        """Note that the group's alert was not sent, and when to try again."""
        group.failures += 1
        group.is_being_sent, group.due_at = False, again_at
        if group.waiting is not None and group.waiting.is_recovered:
            group.alert = None  # that it is over is all there is to tell by now

    def hasten(self, now: float) -> None:
        """Make due now whatever is not held back because it was told a moment ago; drop the rest."""
        for group in self._all():
            is_held_back = (
                group.alert is None and group.waiting is not None and not group.waiting.is_recovered
            ) and group.told_at + self._every > now
            group.due_at = inf if group.is_empty or is_held_back else now

    def _begin(self, report: Report, now: float) -> bool:
        group = self._group(report, now)
        before = group.waiting
        group.waiting = group.join(report)
        group.since_last += 1
        if group.alert is not None or (before is not None and not before.is_recovered):
            return False
        group.due_at = self._earliest(group, group.waiting, now)
        return True

    def _end(self, report: Report, now: float) -> bool:
        others = self._others[report.kind]
        if whole := others.end(report.subject):
            self._end_group(others, whole, now)
        if group := self._groups[report.kind].get(report.subject):
            self._end_group(group, report, now)
        return True

    def _end_group(self, group: Group, report: Report, now: float) -> None:
        """Tell the end of what was told, or is being told; of what only waited, nothing is told."""
        alert = group.alert
        ends_already = alert is not None and alert.is_recovered
        came_and_went = alert is None and not group.is_told_to_last and group.told_at > -inf
        if ends_already or came_and_went:
            group.waiting = None
            group.due_at = group.due_at if ends_already else inf
            return
        group.waiting = report
        if alert is None:
            group.due_at = now
        elif not group.is_being_sent:
            group.alert = None

    def _group(self, report: Report, now: float) -> Group:
        groups = self._groups[report.kind]
        group = groups.get(report.subject)
        if group is not None and self._is_fresh(group, now):
            return group
        if sum(self._is_fresh(one, now) for one in groups.values()) >= _ONE_BY_ONE:
            return self._others[report.kind]
        if group is None:
            group = groups[report.subject] = Group()
            self._forget(groups, now)
        return group

    def _forget(self, groups: dict[str, Group], now: float) -> None:
        if len(groups) > _REMEMBERED:
            oldest = next(subject for subject, one in groups.items() if not self._is_fresh(one, now))
            del groups[oldest]

    def _is_fresh(self, group: Group, now: float) -> bool:
        return not group.is_empty or group.told_at + self._every > now

    def _earliest(self, group: Group, report: Report, now: float) -> float:
        if report.is_recovered:
            return now
        gathered_at = now + _GATHERING if isinstance(group, _Others) else now
        return max(gathered_at, group.told_at + self._every)

    def _all(self) -> Iterator[Group]:
        return chain(self._others.values(), *(groups.values() for groups in self._groups.values()))


def _joined(before: Report | None, report: Report, subject: str) -> Report:
    """Return one report of what was told of several subjects; its facts are those of the first."""
    if before is None or before.is_recovered:
        return replace(report, subject=subject, is_many=True, count=1, first_at=report.last_at)
    return replace(before, subject=subject, count=before.count + 1, last_at=report.last_at)
