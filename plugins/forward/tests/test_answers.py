from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from router_forward.answers import Piece, named, require_success, wait

from router import GiveUp, RetryLater

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def judge(
    status: int, *, retry_after: str | None = None, location: str | None = None
) -> tuple[type[Exception] | None, str, float | None]:
    """Return what is raised for a status, with its reason and the wait it asks for."""
    try:
        require_success(status, "told", location=location, retry_after=retry_after, now=NOW)
    except RetryLater as exc:
        return RetryLater, exc.reason, exc.after
    except GiveUp as exc:
        return GiveUp, exc.reason, None
    return None, "", None


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
def test_success_is_done(status: int) -> None:
    assert judge(status) == (None, "", None)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 502, 503, 504, 520, 599])
def test_what_may_pass_is_tried_again(status: int) -> None:
    assert judge(status) == (RetryLater, "told", None)
    assert judge(status, retry_after="30") == (RetryLater, "told", 30.0)


@pytest.mark.parametrize("status", [101, 300, 304, 400, 401, 403, 404, 405, 409, 413, 415, 422, 451, 499])
def test_what_does_not_pass_is_given_up(status: int) -> None:
    assert judge(status, retry_after="30") == (GiveUp, "told", None)


def test_a_redirect_says_where_it_points() -> None:
    reason = judge(301, location="https://new.example/")[1]

    assert reason == "told; redirects are not followed: set url to where it points, https://new.example/"


def test_gone_says_what_to_do() -> None:
    told = "told; the receiver wants no more: remove the route"
    assert judge(410) == (GiveUp, told, None)


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", None),
        ("1", 1.0),
        (" 120 ", 120.0),
        ("3600", 3600.0),
        ("86400", 3600.0),
        ("9" * 5000, 3600.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("Tue, 24 Nov 2026 12:01:30 GMT", 90.0),
        ("Tue, 24 Nov 2026 12:01:30 -0000", 90.0),
        ("Tuesday, 24-Nov-26 12:01:30 GMT", 90.0),
        ("Tue, 24 Nov 2026 11:00:00 GMT", None),
        ("Tue, 24 Nov 2099 11:00:00 GMT", 3600.0),
        ("Tue, 99 Nov 2026 12:01:30 GMT", None),
        ("Tue, 24 Nov 99999999999 12:01:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_bounded(retry_after: str | None, seconds: float | None) -> None:
    assert wait(retry_after, NOW) == seconds


def test_a_date_is_compared_in_its_own_zone() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=5)))

    assert wait("Tue, 24 Nov 2026 12:00:10 GMT", there) == 10.0


@pytest.mark.parametrize(("status", "name"), [(404, "404 Not Found"), (520, "520"), (799, "799")])
def test_a_status_has_its_name(status: int, name: str) -> None:
    assert named(status) == name


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        (" \r\n ", ""),
        ("a\nb\t\x1b[31mc\0", "a b [31mc"),
        ("no 79001234567@c.us", "no [number]@c.us"),
        ("order 123456", "order 123456"),
        ("Bearer abcdef123 is wrong", "Bearer [secret] is wrong"),
        ("abcdef", "[secret]"),
        ("short", "short"),
        ("x" * 201, "x" * 200 + "…"),
    ],
)
def test_a_piece_is_short_and_holds_no_secret(text: str, shown: str) -> None:
    piece = Piece(["abcdef", "abcdef123", "short", ""])

    assert piece(text) == shown
