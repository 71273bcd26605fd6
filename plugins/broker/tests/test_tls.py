from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from plugins.broker.tests.events import event
from plugins.broker.tests.handlers import DESTINATION, publisher
from plugins.broker.tests.servers import DURABLE, Nats, Server
from router import RetryLater

pytestmark = pytest.mark.system

Begin = Callable[..., Server]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Return a folder with ``cert.pem``, which is its own authority, and ``key.pem``."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *files, *names]
    subprocess.run(command, check=True, capture_output=True)
    return tmp_path


@pytest.mark.parametrize("kind", DURABLE)
async def test_an_encrypted_connection_publishes(kind: type[Server], certificate: Path, begin: Begin) -> None:
    server = begin(kind)
    await server.prepare(DESTINATION)
    server.terminate()
    server.tls = certificate
    server.start()
    one = event()

    async with publisher(server, ca_file=str(certificate / "cert.pem")) as publish:
        await publish(one)

    server.terminate()
    server.tls = None
    server.start()
    assert [stored.id for stored in await server.read(DESTINATION)] == [f"{one.id}/messages"]


@pytest.mark.parametrize("kind", DURABLE)
async def test_a_certificate_that_nobody_trusts_is_refused(
    kind: type[Server], certificate: Path, begin: Begin
) -> None:
    server = begin(kind, tls=certificate)

    async with publisher(server) as publish:
        with pytest.raises(RetryLater, match=r"(?i)certificate"):
            await publish(event())


async def test_a_certificate_that_is_not_there_stops_the_start(tmp_path: Path, begin: Begin) -> None:
    server = begin(Nats)
    server.tls = tmp_path

    with pytest.raises(OSError, match=r"ca_file '.*/nowhere': No such file or directory"):
        async with publisher(server, ca_file=str(tmp_path / "nowhere")):
            pass
