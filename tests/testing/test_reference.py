"""The reference names what `router.testing` has, and nothing else."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

import router.pytest_plugin
import router.testing
from router.testing import RouterHarness, make_event
from router.testing.events import _FIELDS
from router.testing.samples import DEFAULTS
from tests.test_docs import REFERENCE, blocks

PAGE = REFERENCE / "testing.md"


def sections(page: Path) -> dict[str, str]:
    parts = re.split(r"^## (.+)$", page.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


SECTIONS = sections(PAGE)


def rows(section: str) -> list[str]:
    """Return what stands first in each row of a section's tables: a name, or how it is called."""
    return re.findall(r"^\| `([^`]+)` \|", SECTIONS[section], re.MULTILINE)


def named(rows: list[str]) -> set[str]:
    return {re.sub(r"^await |\(.*$", "", row) for row in rows}


def public(cls: type) -> set[str]:
    members = {name for name in vars(cls) if not name.startswith("_")}
    made = re.findall(r"self\.([a-z]\w*)(?:: [^=]+)? = ", inspect.getsource(vars(cls)["__init__"]))
    return members | set(made)


def parameters(function: Any) -> set[str]:
    return {name for name in inspect.signature(function).parameters if name != "self"}


@pytest.mark.parametrize("name", router.testing.__all__)
def test_every_public_name_is_listed(name: str) -> None:
    assert f"[`{name}`](#" in PAGE.read_text("utf-8")


@pytest.mark.parametrize("name", ["RecordingGreenApi", "Clock"])
def test_every_member_is_described(name: str) -> None:
    assert named(rows(name)) == public(getattr(router.testing, name))


def test_every_member_and_argument_of_the_harness_is_described() -> None:
    assert named(rows("RouterHarness")) == public(RouterHarness) | parameters(RouterHarness.__init__)


@pytest.mark.parametrize("row", [row for row in rows("RouterHarness") if "(" in row])
def test_how_a_member_is_called_is_how_it_is_called(row: str) -> None:
    name, arguments = re.sub("^await ", "", row).rstrip(")").split("(")
    given = {re.sub("=.*$", "", each).lstrip("*") for each in arguments.split(", ")} - {""}
    assert given == parameters(getattr(RouterHarness, name))
    assert row.startswith("await") == inspect.iscoroutinefunction(getattr(RouterHarness, name))


@pytest.mark.parametrize("name", ["Sent", "Failed"])
def test_every_field_is_described(name: str) -> None:
    cls = getattr(router.testing, name)
    assert is_dataclass(cls)
    assert {field.name for field in fields(cls)} <= set(re.findall(r"`(\w+)`", SECTIONS[name]))


def test_the_signatures_are_those_of_the_code() -> None:
    shown = [block.text.strip() for block in blocks(PAGE)]
    for function, named in ((make_event, "make_event"), (RouterHarness, "RouterHarness")):
        signature = inspect.signature(function)
        plain = [
            parameter.replace(annotation=inspect.Parameter.empty)
            for parameter in signature.parameters.values()
        ]
        written = f"{named}{signature.replace(parameters=plain, return_annotation=signature.empty)}"
        assert any(text.removesuffix(" -> Event") == written for text in shown), written


def test_every_argument_and_field_of_an_event_is_described() -> None:
    section = SECTIONS["make_event"]
    assert parameters(make_event) <= set(rows("make_event"))
    assert {name for name in _FIELDS if f"`{name}`" not in section} == set()


def test_the_sample_of_each_type_is_listed() -> None:
    listed = re.findall(r"^\| `(\w+)` \| `(\S+\.json)` \|", SECTIONS["make_event"], re.MULTILINE)
    assert dict(listed) == DEFAULTS


def test_every_fixture_is_listed() -> None:
    assert set(rows("Fixtures")) == set(router.pytest_plugin.__all__)
