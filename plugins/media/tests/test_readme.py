from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from router_media import S3, Options
from router_media.attachments import attachment_of
from router_media.download import Downloaded
from router_media.names import FIELDS
from router_media.records import record_of

from router import Event
from router.options import describe

README = Path(__file__).parents[1].joinpath("README.md").read_text("utf-8")
ROWS = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|(?: [^|]+ \|)? ([^|]+) \| [^|]+\.? \|$", README, re.MULTILINE)


def test_every_option_is_told_with_its_default() -> None:
    told = {name: default.strip() for names, default in ROWS for name in re.findall(r"`(\w+)`", names)}

    assert list(told) == [*properties(Options), *properties(S3)]
    for name, option in {**properties(Options), **properties(S3)}.items():
        default = option.get("default")
        if default not in (None, "", []):
            assert as_bytes_or_seconds(told[name].strip("`")) == as_bytes_or_seconds(str(default)), name


def properties(options: type[Any]) -> dict[str, Any]:
    schema = describe(options).schema
    assert schema is not None
    found: dict[str, Any] = schema["properties"]
    return found


def as_bytes_or_seconds(text: str) -> object:
    return {"100MiB": "104857600B", "4m": "240s", "true": "True", "false": "False"}.get(text, text)


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", README, re.DOTALL))
def test_every_example_is_right(block: str, make_options: Callable[..., Options]) -> None:
    for route in yaml.safe_load(block)["routes"]:
        if "s3" in route["options"] and find_spec("obstore") is None:
            continue
        assert make_options(**route["options"])
        assert route["timeout"] == "5m"  # more than the option


def test_every_log_event_is_told() -> None:
    code = "".join(path.read_text("utf-8") for path in Path(__file__).parents[1].glob("router_media/*.py"))
    logged = set(re.findall(r"logger\.(\w+)\(\s*\"(media\.\w+)\"", code))

    assert logged == {(level.lower(), name) for name, level in re.findall(r"`(media\.\w+)` \| (\w+)", README)}


def test_every_field_of_a_path_is_told() -> None:
    assert all(f"`{{{name}}}`" in README for name in FIELDS)


def test_a_record_has_the_keys_that_are_shown(message: Callable[..., Event]) -> None:
    event = message("https://x/y")
    attachment = attachment_of(event)
    assert attachment is not None
    record = record_of(event, attachment, "a", Downloaded(1, "", ""))

    (shown,) = re.findall(r"```json\n(.*?)\n```", README)
    assert list(json.loads(shown)) == list(json.loads(record))
