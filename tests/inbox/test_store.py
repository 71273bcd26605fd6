"""What the store of every inbox promises, run against each of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from router.inbox.store import StoreItem
from tests.inbox.build import ROUTES
from tests.inbox.homes import START, Bounds, Home, MemoryHome, SqliteHome
from tests.inbox.store_home import PostgresStoreHome

BOUNDS = Bounds(waiting=4, bytes=10_000, lanes=4, page=3, page_bytes=1_000, discovery=3, concurrency=4)


@pytest.fixture(params=["sqlite", "postgres", "memory"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    match request.param:
        case "sqlite":
            home: Home = SqliteHome(BOUNDS, tmp_path, deliver_changed=False)
        case "postgres":
            home = PostgresStoreHome(BOUNDS, request.getfixturevalue("postgres_url"))
        case _:
            home = MemoryHome(BOUNDS, deliver_changed=False)
    home.open(ROUTES)
    yield home
    home.leave()


def test_what_is_set_is_there_for_its_scope_and_key_only(home: Home) -> None:
    store = home.inbox.store

    home.ask(store.set("s", "k", b"one"))

    found = home.ask(store.get("s", "k"), store.get("s", "other"), store.get("other", "k"))
    assert found == [b"one", None, None]


def test_what_is_set_again_is_the_new_value(home: Home) -> None:
    store = home.inbox.store
    home.ask(store.set("s", "k", b"one"))

    home.ask(store.set("s", "k", b"two"))

    assert home.ask(store.get("s", "k")) == [b"two"]


def test_an_empty_value_is_a_value(home: Home) -> None:
    store = home.inbox.store

    answers = [
        home.ask(store.add("s", "k", b"")),
        home.ask(store.add("s", "k", b"")),
        home.ask(store.get("s", "k")),
    ]

    assert answers == [[None], [b""], [b""]]


def test_any_text_is_a_key(home: Home) -> None:
    store = home.inbox.store
    keys = ["", "a/b", "nul\0", "nul\0\0", "💬", "ж", "'", "%"]

    home.ask(*(store.set(key, key, key.encode()) for key in keys))

    assert home.ask(*(store.get(key, key) for key in keys)) == [key.encode() for key in keys]


def test_only_the_first_adds(home: Home) -> None:
    store = home.inbox.store

    answers = [*home.ask(store.add("s", "k", b"one")), *home.ask(store.add("s", "k", b"two"))]

    assert answers == [None, b"one"]
    assert home.ask(store.get("s", "k")) == [b"one"]


def test_of_many_that_add_at_once_one_does(home: Home) -> None:
    store = home.inbox.store

    answers = home.ask(*(store.add("s", "k", b"%d" % number) for number in range(100)))

    assert answers == [None, *[b"0"] * 99]


def test_what_is_asked_for_at_once_happens_in_order(home: Home) -> None:
    store = home.inbox.store

    answers = home.ask(
        store.get("s", "k"),
        store.add("s", "k", b"one"),
        store.set("s", "k", b"two"),
        store.add("s", "k", b"three"),
        store.delete("s", "k"),
        store.add("s", "k", b"four"),
        store.get("s", "k"),
    )

    assert answers == [None, None, None, b"two", None, None, b"four"]
    assert home.ask(store.get("s", "k")) == [b"four"]


def test_what_is_deleted_is_gone_and_can_be_added(home: Home) -> None:
    store = home.inbox.store
    home.ask(store.set("s", "k", b"one"), store.set("s", "other", b"other"))

    home.ask(store.delete("s", "k"), store.delete("s", "never there"))

    assert home.ask(store.get("s", "k"), store.get("s", "other")) == [None, b"other"]
    assert home.ask(store.add("s", "k", b"two")) == [None]


def test_a_value_is_over_at_its_time(home: Home) -> None:
    store = home.inbox.store
    home.ask(store.set("s", "k", b"one", ttl=60.0))

    home.clock.seconds = 59.9
    before = home.ask(store.get("s", "k"), store.add("s", "k", b"two"))
    home.clock.seconds = 60.0
    after = home.ask(store.get("s", "k"), store.add("s", "k", b"three"), store.get("s", "k"))

    assert (before, after) == ([b"one", b"one"], [None, None, b"three"])


def test_a_value_that_was_added_is_over_at_its_time(home: Home) -> None:
    store = home.inbox.store
    home.ask(store.add("s", "k", b"one", ttl=60.0))

    home.clock.seconds = 30.0
    home.ask(store.add("s", "k", b"does not prolong it", ttl=60.0))
    home.clock.seconds = 60.0

    assert home.ask(store.add("s", "k", b"two")) == [None]


def test_what_is_set_again_has_a_time_of_its_own(home: Home) -> None:
    store = home.inbox.store
    home.ask(*(store.set("s", key, b"one", ttl=60.0) for key in ("longer", "shorter", "for ever")))

    home.ask(store.set("s", "longer", b"two", ttl=90.0), store.set("s", "shorter", b"two", ttl=30.0))
    home.ask(store.set("s", "for ever", b"two"))
    home.clock.seconds = 30.0
    shorter = home.ask(store.get("s", "shorter"))
    home.clock.seconds = 60.0
    home.ask(store.set("elsewhere", "k", b"a write forgets what is over"))

    assert shorter == [None]
    assert home.ask(store.get("s", "longer"), store.get("s", "for ever")) == [b"two", b"two"]


@pytest.mark.parametrize("ttl", [0.0, -1.0, math.nan, math.inf, 1e300])
def test_a_time_that_is_none_is_refused(home: Home, ttl: float) -> None:
    store = home.inbox.store

    for write in (store.set, store.add):
        with pytest.raises(ValueError, match="expected seconds above 0 and up to 100 years"):
            home.ask(write("s", "k", b"one", ttl=ttl))

    assert home.ask(store.get("s", "k")) == [None]


def test_an_operator_sees_scopes_that_begin_alike(home: Home) -> None:
    store = home.inbox.store
    scopes = ["outbox/1", "outbox/12", "outbox/2", "once/orders", "outbox", "\U0010ffff"]
    home.ask(*(store.set(scope, key, scope.encode()) for scope in scopes for key in ("b", "a")))

    listed = home.ledger.store_items("outbox/1")

    assert [(item.scope, item.key, item.value) for item in listed] == [
        ("outbox/1", "a", b"outbox/1"),
        ("outbox/1", "b", b"outbox/1"),
        ("outbox/12", "a", b"outbox/12"),
        ("outbox/12", "b", b"outbox/12"),
    ]
    assert home.ledger.store_items("outbox/1", limit=3) == listed[:3]
    assert home.ledger.store_items_of("outbox/1") == listed[:2]
    assert home.ledger.store_items_of("outbox/1", limit=1) == listed[:1]
    assert [item.scope for item in home.ledger.store_items()] == sorted(2 * scopes)
    assert [item.scope for item in home.ledger.store_items("\U0010ffff")] == ["\U0010ffff"] * 2
    assert home.ledger.store_items_of("outbox/") == []


def test_an_operator_sees_what_is_not_over_and_until_when(home: Home) -> None:
    store = home.inbox.store
    home.ask(store.set("s", "soon", b"one", ttl=60.0), store.set("s", "late", b"two", ttl=61.0))

    home.clock.seconds = 60.0

    item = StoreItem(scope="s", key="late", value=b"two", expires_at=START + timedelta(seconds=61))
    assert home.ledger.store_items("s") == [item]
    assert home.ledger.store_items_of("s") == [item]


def test_what_an_operator_changes_is_changed_for_handlers(home: Home) -> None:
    store = home.inbox.store
    home.ask(
        store.set("s", "set", b"one"), store.set("s", "deleted", b"one"), store.set("s", "over", b"", ttl=1.0)
    )

    home.ledger.store_set("s", "set", b"two")
    home.ledger.store_set("s", "for a while", b"three", ttl=60.0)
    home.clock.seconds = 1.0
    deleted = [home.ledger.store_delete("s", key) for key in ("deleted", "deleted", "over", "never there")]

    assert deleted == [True, False, False, False]
    keys = ["set", "for a while", "deleted"]
    assert home.ask(*(store.get("s", key) for key in keys)) == [b"two", b"three", None]
    home.clock.seconds = 60.0
    assert home.ask(store.get("s", "for a while")) == [None]
