"""A token is planted wherever one can be; no text that the router makes of the file shows it."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from router.config import Document, read
from router.errors import ConfigError
from tests.config.offered import check

Load = Callable[..., Document]

PLANTED = "planted-secret"
ENVIRON = {"T": f"{PLANTED}-1", "U": f"{PLANTED}-2", "N": "7777777777"}

GOOD = """
instances:
  - {id: 1101000001, token: "${T}", webhook_token: "planted-secret-3"}
webhook: {token: [planted-secret-4, "Bearer ${U}"]}
routes:
  - name: orders
    type: x
    handler: echo
    options:
      urls: ["https://user:${U}@host/", "${GONE:-a-default}"]
      key: ${file:key}
      short: ${S}
    when: {data: {a: ["${W}"]}}
alerts:
  - {handler: echo, options: {url: "tgram://${A}/5"}}
console: {token: planted-secret-5}
"""


def test_secrets_are_collected_for_the_redaction_of_outputs(load: Load, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("planted-secret-6\n")
    environ = ENVIRON | {"A": "planted-secret-7", "S": "short", "W": "an ordinary word"}
    assert load(GOOD, environ).config().secrets == {
        "planted-secret-1",
        "planted-secret-2",
        "planted-secret-3",
        "planted-secret-4",
        "Bearer planted-secret-2",
        "planted-secret-5",
        "planted-secret-6",
        "planted-secret-7",
    }


def test_no_secret_is_in_the_text_of_the_settings(load: Load, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("planted-secret-6\n")
    document = load(GOOD, ENVIRON | {"A": "planted-secret-7", "S": "short", "W": "word"})
    config = document.config()
    parts = [config, *config.instances, config.webhook, *config.alerts, config.console, document]
    assert not [part for part in parts if PLANTED in f"{part!r} {part}"]


# Every place where a value can be wrong, with the planted value there.
_WRONG = [
    *(
        "version",
        "instances",
        "webhook",
        "inbox",
        "dedup",
        "delivery",
        "routes",
        "alerts",
        "logging",
        "console",
    ),
    *("instances.0.id", "instances.0.api_url", "instances.0.transport", "instances.0.receive_timeout"),
    *("webhook.path", "webhook.allow", "webhook.allow.0", "webhook.trusted_proxies.0", "webhook.max_body"),
    *("webhook.ack", "webhook.ack_deadline", "inbox.url", "inbox.retention", "inbox.keep_unrouted"),
    *(
        "dedup.window",
        "dedup.changed",
        "delivery.concurrency",
        "plugins_dir",
        "logging.level",
        "logging.format",
    ),
    *("routes.0.name", "routes.0.handler", "routes.0.order", "routes.0.timeout", "routes.0.concurrency"),
    *("routes.0.retry", "routes.0.retry.attempts", "routes.0.retry.first", "routes.0.retry.jitter"),
    *("routes.0.stop", "routes.0.when", "routes.0.when.instance", "routes.0.when.data.a.0.cidr"),
    *("routes.0.when.data.a.0.numeric.0", "routes.0.options", "routes.0.tests", "routes.0.tests.0.matches"),
    *(
        "routes.0.options.port",
        "routes.0.options.mode",
        "routes.0.options.account",
        "routes.0.options.target",
    ),
    *("alerts.0.handler", "alerts.0.kinds", "alerts.0.kinds.0", "alerts.0.every", "alerts.0.options.port"),
    *("console.token.0", "webhook.token.0.0"),
]


LEDGER = {
    "port": {"type": "integer"},
    "mode": {"enum": ["fast"]},
    "account": {"type": "string", "pattern": "^[a-z]{3}$"},
    "target": {"anyOf": [{"type": "object"}, {"const": 5}]},
}


def _file_with(place: str, written: str) -> str:
    """A file that is fine, but for what is written at the place."""
    fine = {
        "instances": [{"id": 1101000001}],
        "routes": [{"name": "orders", "type": "x", "handler": "ledger"}],
        "alerts": [{"handler": "ledger"}],
    }
    return yaml.safe_dump(_put(fine, place.split("."))).replace("MARK", written)


def _put(value: Any, way: list[str]) -> Any:
    if not way:
        return "MARK"
    step, *rest = way
    if step == "0":
        return [_put(value[0] if isinstance(value, list) else None, rest)]
    mapping = value if isinstance(value, dict) else {}
    return mapping | {step: _put(mapping.get(step), rest)}


@pytest.mark.parametrize("place", _WRONG)
@pytest.mark.parametrize("written", ['"${T} "', "${file:key}", '"a ${T}\\n${U}"', "a ${T}", '"${N} "'])
def test_no_problem_shows_what_a_reference_stands_for(
    load: Load, tmp_path: Path, place: str, written: str
) -> None:
    (tmp_path / "key").write_text("planted secret 6 \n")
    document = load(_file_with(place, written), ENVIRON)
    check(document, {"ledger": {"properties": LEDGER}})
    with pytest.raises(ConfigError) as raised:
        document.config()
    shown = "".join(traceback.format_exception(raised.value))
    assert not [word for word in ("planted", "7777777777") if word in shown]


@pytest.mark.parametrize(
    "place", ["instances.0.token", "instances.0.webhook_token", "webhook.token", "console.token"]
)
@pytest.mark.parametrize("written", ["7777777777", "{7777777777: 1}", "{a: 7777777777}", "[[7777777777]]"])
def test_no_problem_shows_a_token_that_stands_in_the_file(load: Load, place: str, written: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(_file_with(place, written)).config()
    assert "expected text" in str(raised.value)
    assert "7777777777" not in str(raised.value).replace("the key 7777777777", "")


def test_an_option_is_never_shown(load: Load) -> None:
    document = load(
        "routes: [{name: a, type: x, handler: echo, options: {key: planted-secret, mode: planted, n: 77777}}]"
    )
    properties = {
        "key": {"type": "string", "pattern": "^[0-9]+$", "maxLength": 3},
        "mode": {"enum": ["fast", "safe"]},
        "n": {"maximum": 5, "multipleOf": 2, "const": 4},
    }
    check(document, {"echo": {"properties": properties}})
    messages = [problem.message for problem in document.problems]
    assert len(messages) == 6
    assert not [message for message in messages if "planted" in message or "77777" in message]


def test_an_unreadable_file_is_named_but_not_shown(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"planted-secret\xff")
    (tmp_path / "routes.yaml").write_text('{console: {token: "${file:key}"}}')
    with pytest.raises(ConfigError) as raised:
        read(tmp_path / "routes.yaml", {}).config()
    assert [problem.message for problem in raised.value.problems] == ["file 'key' is not UTF-8 text"]
