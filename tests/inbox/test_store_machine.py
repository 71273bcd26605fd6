"""Anything that handlers, operators and crashes may do to a store, in any order, against a dict."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.inbox.build import ROUTES
from tests.inbox.homes import Home, MemoryHome, SqliteHome
from tests.inbox.store_home import PostgresStoreHome
from tests.inbox.test_store import BOUNDS

Place = tuple[str, str]
#: A value, and the second at which it is over.
Value = tuple[bytes, float]
#: What is asked for at a place: the verb, a value, a time to live.
Asked = tuple[str, Place, bytes, float | None]

places = st.tuples(st.sampled_from(["s", "s/1", "s/12"]), st.sampled_from(["a", "b"]))
values = st.sampled_from([b"", b"one", b"two"])
ttls = st.sampled_from([None, 1.0, 2.0, 5.0])
asked = st.tuples(st.sampled_from(["get", "set", "add", "delete"]), places, values, ttls)


class Model:
    """Values by place, and the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.values: dict[Place, Value] = {}

    def there(self) -> dict[Place, bytes]:
        return {place: value for place, (value, over) in self.values.items() if over > self.now}

    def do(self, verb: str, place: Place, value: bytes, ttl: float | None) -> bytes | None:
        there = self.there().get(place)
        match verb:
            case "delete":
                self.values.pop(place, None)
            case "set":
                self.values[place] = value, self.now + (ttl or float("inf"))
            case "add" if there is None:
                self.values[place] = value, self.now + (ttl or float("inf"))
        return there if verb in {"get", "add"} else None


class StoreMachine(RuleBasedStateMachine):
    """A store and its operator's side."""

    home: Home

    def __init__(self) -> None:
        super().__init__()
        self.home = self.make()
        self.home.open(ROUTES)
        self.model = Model()

    def make(self) -> Home:
        raise NotImplementedError

    def teardown(self) -> None:
        self.home.leave()

    @rule(asked=st.lists(asked, min_size=1, max_size=6))
    def ask(self, asked: list[Asked]) -> None:
        """Several handlers at once."""
        answers = self.home.ask(*(self.call(*one) for one in asked))
        assert answers == [self.model.do(*one) for one in asked]
        self.check()

    def call(self, verb: str, place: Place, value: bytes, ttl: float | None) -> Any:
        writes = {"value": value, "ttl": ttl} if verb in {"set", "add"} else {}
        return getattr(self.home.inbox.store, verb)(*place, **writes)

    @rule(place=places, value=values, ttl=ttls)
    def set_by_operator(self, place: Place, value: bytes, ttl: float | None) -> None:
        self.home.ledger.store_set(*place, value, ttl=ttl)
        self.model.do("set", place, value, ttl)
        self.check()

    @rule(place=places)
    def delete_by_operator(self, place: Place) -> None:
        is_there = place in self.model.there()
        assert self.home.ledger.store_delete(*place) == is_there
        self.model.do("delete", place, b"", None)
        self.check()

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0]))
    def wait(self, seconds: float) -> None:
        self.model.now += seconds
        self.home.clock.seconds = self.model.now
        self.check()

    def check(self) -> None:
        there = self.model.there()
        listed = [((item.scope, item.key), item.value) for item in self.home.ledger.store_items()]
        assert listed == sorted(there.items())
        for prefix in ("s/1", "s/"):
            of_these = [item.scope for item in self.home.ledger.store_items(prefix)]
            assert of_these == sorted(scope for scope, _ in there if scope.startswith(prefix))


class SqliteMachine(StoreMachine):
    home: SqliteHome

    def make(self) -> Home:
        self.folder = TemporaryDirectory()
        return SqliteHome(BOUNDS, Path(self.folder.name), deliver_changed=False)

    @rule(crashes=st.booleans())
    def start_again(self, crashes: bool) -> None:
        if crashes:
            self.home.crash(0.0)
        else:
            self.home.close()
        self.home.open(ROUTES)
        self.check()

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


class PostgresMachine(StoreMachine):
    home: PostgresStoreHome
    #: Of an inbox whose store is to be emptied.
    url: str

    def make(self) -> Home:
        with psycopg.connect(self.url) as connection:
            connection.execute("TRUNCATE router.store")
        return PostgresStoreHome(BOUNDS, self.url)

    @rule()
    def start_again(self) -> None:
        self.home.close()
        self.home.open(ROUTES)
        self.check()


class MemoryMachine(StoreMachine):
    def make(self) -> Home:
        return MemoryHome(BOUNDS, deliver_changed=False)


_COMMON: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
_SHORT = settings(max_examples=60, stateful_step_count=30, derandomize=True, database=None, **_COMMON)
_LONG = settings(max_examples=2_000, stateful_step_count=60, **_COMMON)
_IS_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"


@pytest.mark.timeout(0 if _IS_LONG else 600)  # only what fails takes long
@pytest.mark.parametrize(
    "machine", [SqliteMachine, PostgresMachine, MemoryMachine], ids=["sqlite", "postgres", "memory"]
)
def test_whatever_happens_to_a_store_it_keeps_what_it_promises(
    machine: type[StoreMachine], request: pytest.FixtureRequest
) -> None:
    if machine is PostgresMachine:
        PostgresMachine.url = request.getfixturevalue("postgres_url")
    run_state_machine_as_test(machine, settings=_LONG if _IS_LONG else _SHORT)
