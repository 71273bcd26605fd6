"""What the README says is held against the code: its options, its examples, its receivers."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import re
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
import uvicorn
import yaml
from router_forward import Forward, Options, new_secret
from router_forward.envelopes import attributes

from router import Delivery, Event, GiveUp

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
MakeEvent = Callable[..., Event]
MakeOptions = Callable[..., Options]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def rows(section: str) -> list[list[str]]:
    """Return the cells of the tables of a section, without backticks."""
    text = README.partition(f"{section}\n")[2].partition("\n#")[0]
    return [
        [cell.strip(" `") for cell in line.split("|")[1:-1]] for line in text.splitlines() if line[:1] == "|"
    ]


@pytest.fixture
def authorities(tmp_path: Path) -> str:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


@pytest.mark.parametrize("block", blocks("yaml"))
def test_each_route_is_right(block: str, make_options: MakeOptions, authorities: str) -> None:
    filled = block.replace("${INTERNAL_CA}", authorities).replace("${CRM_TOKEN}", "abc")
    filled = re.sub(r"\$\{[A-Z_]*SECRET\}", new_secret(), filled)

    (route,) = yaml.safe_load(filled)["routes"]

    assert route["handler"] == "forward"
    make_options(**route["options"])


def test_each_option_has_its_row_and_its_default(make_options: MakeOptions) -> None:
    table = {name: default for name, _, default, _ in rows("# green-event-router-forward")[2:]}
    made = make_options()
    written = {"15s": 15.0, "json": "json", "false": False}

    assert list(table) == [option.name for option in dataclasses.fields(Options)]
    for name, default in table.items():
        if default in written:
            assert getattr(made, name) == written[default]
        elif default != "required":
            assert not getattr(made, name)


def test_the_example_has_the_fields_that_are_sent(make_event: MakeEvent) -> None:
    (example,) = blocks("json")

    assert list(json.loads(example)) == list(make_event().as_json())


def test_each_attribute_of_a_cloudevent_has_its_row(make_event: MakeEvent) -> None:
    named = {name.strip(" `") for row in rows("## What is sent")[2:] for name in row[0].split(",")}

    assert named == set(attributes(make_event())) - {"specversion"}


# The receivers


@asynccontextmanager
async def posting(options: Options) -> AsyncIterator[Callable[[Event], Awaitable[None]]]:
    forward = Forward(options)
    await forward.start()
    delivery = Delivery(id=1, event="e1", route="orders", handler="forward", attempt=1)
    context: Any = SimpleNamespace(delivery=delivery, logger=SimpleNamespace(info=lambda *_, **__: None))
    try:
        yield lambda event: forward(event, context)
    finally:
        await forward.stop()


@asynccontextmanager
async def python_receiver() -> AsyncIterator[int]:
    (code,) = blocks("python")
    module: dict[str, Any] = {}
    exec(compile(code, "receiver.py", "exec", dont_inherit=True), module)
    server = uvicorn.Server(uvicorn.Config(module["app"], port=0, log_config=None))
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await running
        module["database"].close()


async def test_the_receiver_in_python_takes_each_event_once_and_no_forged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_options: MakeOptions, make_event: MakeEvent
) -> None:
    monkeypatch.chdir(tmp_path)
    secret = new_secret()
    monkeypatch.setenv("FORWARD_SECRET", secret)
    async with python_receiver() as port:
        url = f"http://127.0.0.1:{port}/hooks/green"
        await check_receiver(make_options, make_event, url, secret)

    database = sqlite3.connect(tmp_path / "receiver.db")
    assert database.execute("SELECT * FROM orders").fetchall() == [("10000000", "Привет")]
    database.close()


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
async def test_the_receiver_in_node_takes_each_event_once_and_no_forged_one(
    tmp_path: Path, make_options: MakeOptions, make_event: MakeEvent
) -> None:
    (code,) = blocks("javascript")
    (tmp_path / "receiver.cjs").write_text(code, "utf-8")
    secret = new_secret()
    node = await asyncio.create_subprocess_exec(
        "node",
        str(tmp_path / "receiver.cjs"),
        env={**os.environ, "FORWARD_SECRET": secret, "PORT": "0"},
        stdout=asyncio.subprocess.PIPE,
        stderr=sys.stderr,
    )
    assert node.stdout is not None
    url = f"http://127.0.0.1:{int(await node.stdout.readline())}"
    await check_receiver(make_options, make_event, url, secret)
    node.terminate()
    said, _ = await node.communicate()

    assert said.decode() == "Привет\n"


async def check_receiver(make_options: MakeOptions, make_event: MakeEvent, url: str, secret: str) -> None:
    """Post an event twice, with the new secret before an old one, and once with a wrong secret."""
    options = make_options(url=url, allow_private=True, secret=secret)
    async with posting(options) as post:
        await post(make_event())
    async with posting(dataclasses.replace(options, secret=[new_secret(), secret])) as post:
        await post(make_event())
    async with posting(dataclasses.replace(options, secret=new_secret())) as post:
        with pytest.raises(GiveUp, match="answered 401 Unauthorized"):
            await post(make_event())
