from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from router_broker import Options
from router_broker.message import compose

from plugins.broker.tests.events import event
from router.options import describe

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_has_options_that_fit(example: str) -> None:
    (route,) = yaml.safe_load(example)["routes"]

    options: Options = describe(Options).make(route["options"])

    assert options.destination.startswith("green")


def test_every_option_is_in_the_table_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|", README, re.MULTILINE))
    schema: dict[str, Any] = describe(Options).schema or {}

    assert list(rows) == [field.name for field in fields(Options)]
    assert {name for name, default in rows.items() if default == "required"} == set(schema["required"])
    assert rows["timeout"] == f"`{schema['properties']['timeout']['default']}`"
    assert rows["data"] == "`true`"


def test_the_body_in_the_readme_has_the_fields_of_the_body() -> None:
    (shown,) = re.findall(r"^```json\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    body = json.loads(compose(event(), "messages", with_data=True).body)
    assert list(json.loads(shown)) == list(body)


@pytest.mark.parametrize("name", ["jetstream", "rabbitmq", "redis_streams", "kafka"])
def test_a_command_that_an_error_names_is_in_the_readme(name: str) -> None:
    source = (Path(__file__).parent.parent / "router_broker" / f"{name}.py").read_text("utf-8")

    commands = r"nats stream add|rabbitmqadmin declare \w+|kafka-topics.sh --create"
    for command in re.findall(commands, source):
        assert command in README
