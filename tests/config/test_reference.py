"""``docs/reference/routes-yaml.md`` says what holds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from router.alerts.groups import RECOVERED
from router.config import Document, routes_schema
from router.events import AlertKind

Load = Callable[..., Document]

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PAGE = (REFERENCE / "routes-yaml.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
#: Keys that may be left out and have no value then, or one that depends on others.
WITHOUT_DEFAULT = {
    *("api_url", "token", "quiet_after", "webhook_token", "plugins_dir", "when", "max_age", "sample", "file"),
}
ENVIRON = dict.fromkeys(re.findall(r"\$\{([A-Z_]+)\}", PAGE), "a-value-of-the-environment")


def _sections() -> Iterator[tuple[str, dict[str, Any]]]:
    schema = routes_schema()
    definitions = schema["$defs"]
    route = definitions["route"]
    yield "Top level", schema
    for name in ("webhook", "inbox", "dedup", "delivery", "logging", "console"):
        yield f"`{name}`", schema["properties"][name]
    yield "`instances`", definitions["instance"]
    yield "`plugins`", definitions["plugin"]
    yield "`routes`", route
    yield "`retry`", route["properties"]["retry"]
    yield "`tests`", route["properties"]["tests"]["items"]
    yield "`alerts`", definitions["alert"]


SECTIONS = dict(_sections())


def _default(name: str, section: dict[str, Any]) -> str:
    """What the table has in its column ``default``."""
    schema = section["properties"][name]
    if name in section.get("required", ()):
        return "required"
    if name == "api_url":
        return "by the id"
    if name == "kinds":
        return "all"
    if "properties" in schema:
        return "see below"
    if "default" not in schema:
        return "–"
    value = schema["default"]
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_key_is_on_the_page_with_its_default(heading: str) -> None:
    section = SECTIONS[heading]
    text = re.split(r"^##+ ", PAGE.partition(f"# {heading}\n")[2], flags=re.MULTILINE)[0]
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \| [^|]+ \|$", text, re.MULTILINE)
    assert rows == [(name, _default(name, section)) for name in section["properties"]]


@pytest.mark.parametrize("heading", SECTIONS)
def test_an_editor_has_something_to_show_for_every_key(heading: str) -> None:
    section = SECTIONS[heading]
    for name, schema in section["properties"].items():
        assert {"title", "description", "examples"} <= schema.keys(), name
        has_default = "default" in schema or name in section.get("required", ()) or name in WITHOUT_DEFAULT
        assert has_default, name
        for example in schema["examples"]:
            registry_root = {"$defs": routes_schema()["$defs"]}
            jsonschema.validate(example, {**schema, **registry_root})


def test_every_kind_of_alert_is_on_the_page() -> None:
    kinds = SECTIONS["`alerts`"]["properties"]["kinds"]["items"]["anyOf"][0]["enum"]
    assert kinds == [*AlertKind, RECOVERED]
    assert f"The kinds are {', '.join(f'`{kind}`' for kind in kinds)}." in PAGE


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_every_example_on_the_page_can_be_pasted(load: Load, tmp_path: Path, block: str) -> None:
    (tmp_path / "my_plugins").mkdir()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "green_api_token").write_text("a-token-from-a-file\n")
    assert load(block, ENVIRON).problems == []


def test_the_lines_that_open_the_page_are_what_a_person_reads(load: Load) -> None:
    document = load(
        "\n" * 11
        + "routes:\n  - {name: orders, type: x, handler: echo,\n"
        + "        retries: 3,\n\n         retry: {first: 5 min}}\n"
    )
    shown = "\n".join(
        str(problem).replace(str(document.path), "routes.yaml") for problem in document.problems
    )
    assert re.sub(r":\d+:\d+:", "", shown) in re.sub(r":\d+:\d+:", "", PAGE)


def test_the_published_schema_is_the_one_in_use() -> None:
    assert json.loads((REFERENCE / "routes.schema.json").read_text(encoding="utf-8")) == routes_schema()
    jsonschema.Draft202012Validator.check_schema(routes_schema())
