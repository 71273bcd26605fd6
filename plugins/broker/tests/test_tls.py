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
    """Return a folder with ``ca.pem``, and ``cert.pem`` of localhost that it signed with its ``key.pem``."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    certify(tmp_path, "ca", "ca.key", "/CN=authority", "basicConstraints=critical,CA:TRUE")
    by_ca = ["-CA", str(tmp_path / "ca.pem"), "-CAkey", str(tmp_path / "ca.key")]
    certify(tmp_path, "cert", "key.pem", "/CN=localhost", "subjectAltName=DNS:localhost", *by_ca)
    return tmp_path


def certify(folder: Path, name: str, key: str, subject: str, extension: str, *signed: str) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *signed]
    files = ["-keyout", str(folder / key), "-out", str(folder / f"{name}.pem")]
    facts = ["-subj", subject, "-addext", extension]
    subprocess.run([*command, *files, *facts], check=True, capture_output=True)


@pytest.mark.parametrize("kind", DURABLE)
async def test_an_encrypted_connection_publishes(kind: type[Server], certificate: Path, begin: Begin) -> None:
    server = begin(kind)
    await server.prepare(DESTINATION)
    server.terminate()
    server.tls = certificate
    server.start()
    one = event()

    async with publisher(server, ca_file=str(certificate / "ca.pem")) as publish:
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


@pytest.mark.parametrize("kind", DURABLE)
async def test_a_broker_that_asks_for_a_certificate_is_shown_it(
    kind: type[Server], certificate: Path, begin: Begin
) -> None:
    server = begin(kind)
    await server.prepare(DESTINATION)
    server.terminate()
    server.tls, server.wants_certificate = certificate, True
    server.start()
    ca, cert, key = (str(certificate / name) for name in ("ca.pem", "cert.pem", "key.pem"))

    async with publisher(server, ca_file=ca) as publish:
        with pytest.raises(RetryLater, match="no "):
            await publish(event())
    async with publisher(server, ca_file=ca, cert_file=cert, key_file=key) as publish:
        await publish(event())


async def test_a_certificate_that_is_not_there_stops_the_start(tmp_path: Path, begin: Begin) -> None:
    server = begin(Nats)
    server.tls = tmp_path

    with pytest.raises(OSError, match=r"ca_file '.*/nowhere': No such file or directory"):
        async with publisher(server, ca_file=str(tmp_path / "nowhere")):
            pass
