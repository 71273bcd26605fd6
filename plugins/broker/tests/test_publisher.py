from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest
import structlog
from router_broker import Options, Publisher, publisher, register_handlers

from plugins.broker.tests.servers import free_port


def handler(url: str) -> Publisher:
    return Publisher(Options(url=url, destination="green.events"), structlog.get_logger(), "messages")


@pytest.mark.parametrize(
    ("url", "command"),
    [
        ("nats://localhost", r"pip install 'green-event-router-broker\[nats\]'"),
        ("amqp://localhost", r"pip install 'green-event-router-broker\[rabbitmq\]'"),
        ("redis://localhost", r"pip install 'green-event-router-broker\[redis\]'"),
        ("kafka://localhost", r"pip install 'green-event-router-broker\[kafka\]'"),
    ],
)
async def test_a_missing_library_is_told_at_the_start(
    url: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "find_spec", lambda name: None)

    with pytest.raises(publisher.MissingLibrary, match=command):
        await handler(url).start()


@pytest.mark.parametrize("scheme", ["nats", "amqp", "redis", "kafka"])
async def test_it_starts_and_stops_without_a_broker(scheme: str) -> None:
    library = {"nats": "nats", "amqp": "aio_pika", "redis": "redis", "kafka": "aiokafka"}[scheme]
    if find_spec(library) is None:
        pytest.skip(f"needs {library}")
    publish = handler(f"{scheme}://localhost:{free_port()}")

    await publish.start()
    await publish.stop()


async def test_it_may_be_stopped_where_it_did_not_start() -> None:
    await handler("nats://localhost").stop()


def test_no_client_library_is_imported_before_it_is_needed() -> None:
    script = (
        "import sys, router_broker\n"
        "print(sorted({'nats', 'aio_pika', 'redis', 'aiokafka'} & set(sys.modules)))\n"
    )

    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert printed.stdout == "[]\n"


def test_it_is_offered_as_broker() -> None:
    offered = []

    def register(name: str, handler: object, *, options: object = None) -> None:
        offered.append((name, handler, options))

    register_handlers(register)

    assert offered == [("broker", Publisher, Options)]
