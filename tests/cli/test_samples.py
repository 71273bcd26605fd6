from __future__ import annotations

import pytest

from router import samples
from tests.cli.conftest import CALL, Command


def test_samples_are_listed_with_their_sources(router: Command) -> None:
    ended = router("samples", "--json")
    assert ended.code == 0
    assert ended.json == [{"name": name, "source": samples.source(name)} for name in samples.names()]


def test_samples_are_a_table_for_people(router: Command) -> None:
    assert router("samples").out.count("\n") == len(samples.names()) + 1


def test_a_sample_is_shown_as_it_is(router: Command) -> None:
    ended = router("samples", CALL)
    assert (ended.code, ended.out.encode()) == (0, samples.read(CALL).rstrip() + b"\n")


@pytest.mark.parametrize("name", ["nope", "", "..", "../__init__.py", "/etc/passwd", "SOURCES.tsv"])
def test_what_is_no_sample_is_a_problem(router: Command, name: str) -> None:
    ended = router("samples", name)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"no sample is named {name!r}")
