from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from router_archive import Options, SqlOptions
from router_archive.lines import line

from router.options import describe
from router.testing import make_event

README = Path(__file__).parents[1].joinpath("README.md").read_text("utf-8")
OPTIONS = {"archive": Options, "archive.sql": SqlOptions}


def test_every_option_is_told_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \| \S", README, re.MULTILINE)

    assert rows == [(name, default) for options in OPTIONS.values() for name, default in told(options)]


def told(options: type[Any]) -> list[tuple[str, str]]:
    schema = describe(options).schema
    assert schema is not None
    return [
        (name, "required" if name in schema["required"] else f"`{str(each['default']).lower()}`")
        for name, each in schema["properties"].items()
    ]


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", README, re.DOTALL))
def test_every_example_is_right(block: str) -> None:
    needed = [("format: parquet", "pyarrow"), ("archive.sql", "sqlalchemy"), ("postgresql:", "psycopg")]
    for module in (module for mark, module in needed if mark in block):
        pytest.importorskip(module, reason=f"needs {module}")
    for route in yaml.safe_load(block)["routes"]:
        assert OPTIONS[route["handler"]](**route["options"])


def test_every_log_event_is_told() -> None:
    code = "".join(path.read_text("utf-8") for path in Path(__file__).parents[1].glob("router_archive/*.py"))
    logged = set(re.findall(r"logger\.(\w+)\(\s*\"(archive\.\w+)\"", code))

    assert logged == {
        (level.lower(), name) for name, level in re.findall(r"`(archive\.\w+)` \| (\w+)", README)
    }


def test_a_line_has_the_keys_that_are_shown() -> None:
    (shown,) = re.findall(r"```json\n(.*?)\n```", README)

    assert list(yaml.safe_load(shown)) == list(yaml.safe_load(line(make_event(), with_data=True)))
