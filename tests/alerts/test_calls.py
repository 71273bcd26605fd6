"""Alerts from a notification to a plugin's channel, in a whole router."""

from __future__ import annotations

import json
import queue
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import orjson
import pytest
from anyio import to_thread

from router import samples
from router.app import build
from router.events import Alert
from router.loading import load
from tests.conftest import Log

MESSAGE = orjson.loads(samples.read("incomingMessageReceived/wa-text-waba.json"))
PLUGIN = """
import asyncio, queue
from router import hookimpl

told = queue.SimpleQueue()
released = asyncio.Event()

async def pager(alert, options, http, logger):
    told.put((alert, options["number"]))

def blocking_pager(alert, options):
    told.put((alert, options["number"]))

async def hanging(alert):
    told.put((alert, "hanging"))
    await released.wait()

async def failing(alert, options):
    raise OSError(f"no way to {options['number']}")

async def shop(event):
    raise ValueError(event.text)

@hookimpl
def register_handlers(register):
    register("shop", shop)

@hookimpl
def register_alert_channels(register):
    for channel in (pager, blocking_pager, hanging, failing):
        register(channel.__name__, channel)
"""


@asynccontextmanager
async def serving(folder: Path, alerts: Sequence[object]) -> AsyncIterator[httpx2.AsyncClient]:
    """Run a router whose only route fails."""
    (folder / "plugins").mkdir()
    (folder / "plugins" / "pagers.py").write_text(PLUGIN)
    route = {"name": "orders", "type": "incomingMessageReceived", "handler": "shop", "retry": {"attempts": 1}}
    settings = {"version": 1, "plugins_dir": "plugins", "logging": {"notification": "masked"}}
    (folder / "routes.yaml").write_text(json.dumps({**settings, "routes": [route], "alerts": alerts}))
    app = build(load(folder / "routes.yaml", {"PAGER": "the-number-of-nobody"}))
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://router") as client,
    ):
        yield client


async def told() -> tuple[Alert, str]:
    found: queue.SimpleQueue[tuple[Alert, str]] = sys.modules["router_plugins_dir.pagers"].told
    return await to_thread.run_sync(found.get)


@pytest.mark.parametrize("handler", ["pager", "blocking_pager"])
async def test_an_alert_reaches_the_channel_of_a_plugin(tmp_path: Path, log: Log, handler: str) -> None:
    alerts = [{"handler": handler, "kinds": ["dead"], "options": {"number": "112"}}]
    async with serving(tmp_path, alerts) as client:
        await client.post("/webhook", json=MESSAGE)
        alert, number = await told()
    assert (alert.title, number) == ("Dead letter on route: orders", "112")


async def test_a_channel_gets_no_more_than_the_log_may_show(tmp_path: Path, log: Log) -> None:
    alerts = [{"handler": "pager", "options": {"number": "${PAGER}"}}]
    body = {**MESSAGE, "typeWebhook": "new", "note": "call the-number-of-nobody"}
    async with serving(tmp_path, alerts) as client:
        await client.post("/webhook", json=body)
        alert, number = await told()
    assert number == "the-number-of-nobody"
    shown = repr(alert)
    for personal in (MESSAGE["senderData"]["chatId"], MESSAGE["senderData"]["senderName"], number):
        assert personal not in shown
    assert alert.facts["notification"]["typeWebhook"] == "new"


async def test_channels_that_fail_or_hang_delay_neither_answers_nor_other_channels(
    tmp_path: Path, log: Log
) -> None:
    alerts = [
        {"handler": "hanging"},
        {"handler": "failing", "options": {"number": "${PAGER}"}},
        {"handler": "pager", "options": {"number": "112"}},
    ]
    async with serving(tmp_path, alerts) as client:
        for name in ("one", "two"):
            answer = await client.post("/webhook", json={**MESSAGE, "typeWebhook": name})
            assert answer.status_code == 200
        subjects = {(await told())[0].subject for _ in range(3)}
        sys.modules["router_plugins_dir.pagers"].released.set()
    assert subjects == {"one", "two"}
    assert ("failing", "OSError: no way to [secret]") in {
        (line["channel"], line["error"]) for line in log.named("alert.not_sent")
    }
    assert "the-number-of-nobody" not in json.dumps([line["error"] for line in log.named("alert.not_sent")])
