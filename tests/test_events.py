from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest

from router.events import Event
from router.testing import make_event

RECEIVED = datetime(2026, 11, 24, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture
def event() -> Event:
    return replace(make_event(text="/order tea", timestamp=1_764_000_000), received_at=RECEIVED)


def test_an_event_as_json_has_all_its_fields(event: Event) -> None:
    fields = orjson.loads(orjson.dumps(event.as_json()))
    assert list(fields) == list(Event.__dataclass_fields__)
    assert (fields["text"], fields["received_at"]) == ("/order tea", "2026-11-24T12:00:00.250000+00:00")
    assert fields["data"] == event.data


def test_an_event_as_json_may_leave_the_notification_out(event: Event) -> None:
    assert event.as_json().keys() - event.as_json(with_data=False).keys() == {"data"}


@pytest.mark.parametrize(
    ("timestamp", "happened_at"),
    [
        (1_764_000_000, datetime(2025, 11, 24, 16, 0, tzinfo=UTC)),
        (None, RECEIVED),
        (0, RECEIVED),
        (10**18, RECEIVED),
    ],
)
def test_it_happened_when_green_api_says_so_if_it_does(
    event: Event, timestamp: int | None, happened_at: datetime
) -> None:
    assert replace(event, timestamp=timestamp).happened_at == happened_at
