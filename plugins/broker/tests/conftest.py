from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from plugins.broker.tests.servers import Server, free_port

Begin = Callable[..., Any]


@pytest.fixture
def anyio_backend() -> str:
    """The client libraries know asyncio only."""
    return "asyncio"


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Start brokers, which end with the test."""
    with ExitStack() as servers:

        def begin_one(kind: type[Server], **settings: Any) -> Server:
            server = kind(tmp_path / f"{kind.__name__}-{free_port()}", **settings)
            servers.callback(server.close)
            server.start()
            return server

        yield begin_one


@pytest.fixture(autouse=True)
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """So that a test may look for secrets in all lines; no task may end with an error that nobody sees."""
    caplog.set_level(logging.DEBUG)
    yield
    lost = [r for r in caplog.get_records("call") if r.name == "asyncio" and r.levelno >= logging.ERROR]
    assert [record.getMessage() for record in lost] == []
