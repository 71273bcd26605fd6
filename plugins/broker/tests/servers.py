"""Real brokers on this machine, one process each, that can be killed, paused and started again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import pytest

#: With what has to be quoted in a url.
PASSWORD = "s3cret/p@ss"
QUOTED = "s3cret%2Fp%40ss"


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A message as a consumer finds it."""

    id: str
    #: What keeps the order of a chat: subject, routing key, field or key.
    key: str
    body: bytes
    content_type: str
    headers: dict[str, str] = field(default_factory=dict)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Server(ABC):
    """A broker that keeps its data in a folder."""

    #: The client library, without which there is nothing to test.
    library: ClassVar[str]
    scheme: ClassVar[str]
    tls_scheme: ClassVar[str]
    user: ClassVar[str] = "router"

    def __init__(self, folder: Path, *, tls: Path | None = None, settings: str = "") -> None:
        if find_spec(self.library) is None:
            pytest.skip(f"needs {self.library}")
        self.folder = folder
        self.port = free_port()
        self.tls = tls
        self.settings = settings
        #: With ``tls``: clients have to show a certificate.
        self.wants_certificate = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        scheme = self.tls_scheme if self.tls else self.scheme
        return f"{scheme}://{self.user}:{QUOTED}@localhost:{self.port}"

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(), stdout=log, stderr=log, env=self._environment(), start_new_session=True
            )
        self._wait_until_it_answers()

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        self._end()

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)
        self._end()

    def pause(self) -> None:
        """Let it stand still: all of its threads do so when this returns."""
        self._signal(signal.SIGSTOP)
        assert self._process is not None, "started before"
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        if self._process is not None:
            self.kill()

    @abstractmethod
    async def prepare(self, destination: str) -> None:
        """Make what messages are published to."""

    @abstractmethod
    async def read(self, destination: str) -> list[Stored]:
        """Return all messages, in the order of the broker."""

    @abstractmethod
    def _command(self) -> list[str]: ...

    def _environment(self) -> dict[str, str]:
        return dict(os.environ)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "started before"
        os.killpg(self._process.pid, number)

    def _end(self) -> None:
        assert self._process is not None, "started before"
        self._process.wait(30)
        self._process = None

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 50
        while not self._answers():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(
                    f"{self._command()[0]} did not start: {(self.folder / 'log').read_text()[-2000:]}"
                )
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


class Nats(Server):
    library = "nats"
    scheme = "nats"
    tls_scheme = "tls"

    async def prepare(self, destination: str) -> None:
        client = await self.client()
        await client.jetstream().add_stream(name="events", subjects=[f"{destination}.>"])
        await client.close()

    async def read(self, destination: str) -> list[Stored]:
        import nats.errors

        client = await self.client()
        stream = client.jetstream()
        count = (await stream.stream_info("events")).state.messages
        consumer = await stream.pull_subscribe(f"{destination}.>", stream="events")
        found: list[Stored] = []
        while len(found) < count:
            try:
                for message in await consumer.fetch(min(500, count - len(found)), timeout=5):
                    await message.ack()
                    headers = dict(message.headers or {})
                    found.append(
                        Stored(
                            id=headers.pop("Nats-Msg-Id"),
                            key=message.subject.removeprefix(f"{destination}."),
                            body=message.data,
                            content_type=headers.pop("Content-Type"),
                            headers=headers,
                        )
                    )
            except nats.errors.TimeoutError:
                break
        await client.close()
        return found

    async def client(self) -> Any:
        import nats

        return await nats.connect(
            f"nats://127.0.0.1:{self.port}", user=self.user, password=PASSWORD, allow_reconnect=False
        )

    def _command(self) -> list[str]:
        tls = ""
        if self.tls:
            files = "".join(f'{name}_file: "{self.tls}/{name}.pem", ' for name in ("ca", "cert", "key"))
            tls = f"tls {{{files}verify: {str(self.wants_certificate).lower()}}}"
        (self.folder / "conf").write_text(
            f'listen: "127.0.0.1:{self.port}"\n'
            f'authorization {{users: [{{user: {self.user}, password: "{PASSWORD}"}}]}}\n'
            f'jetstream {{store_dir: "{self.folder}/data"}}\n{tls}\n{self.settings}\n'
        )
        return [_program("nats-server"), "-c", str(self.folder / "conf")]


class Redis(Server):
    library = "redis"
    scheme = "redis"
    tls_scheme = "rediss"

    async def prepare(self, destination: str) -> None:
        """The first message makes the stream."""

    async def read(self, destination: str) -> list[Stored]:
        client = self.client()
        entries = await client.xrange(destination)
        await client.aclose()
        return [_from_fields({k.decode(): v for k, v in fields.items()}) for _, fields in entries]

    def client(self) -> Any:
        import redis.asyncio

        return redis.asyncio.Redis(
            host="127.0.0.1", port=self.port, username=self.user, password=PASSWORD, protocol=2
        )

    def _command(self) -> list[str]:
        port = f"port {self.port}"
        if self.tls:
            port = (
                f"port 0\ntls-port {self.port}\ntls-cert-file {self.tls}/cert.pem\n"
                f"tls-key-file {self.tls}/key.pem\ntls-ca-cert-file {self.tls}/ca.pem\n"
                f"tls-auth-clients {'yes' if self.wants_certificate else 'no'}"
            )
        (self.folder / "conf").write_text(
            f"bind 127.0.0.1\n{port}\ndir {self.folder}\nsave ''\nappendonly yes\nappendfsync always\n"
            f"user default off\nuser {self.user} on >{PASSWORD} ~* &* +@all\n{self.settings}\n"
        )
        return [_program("redis-server"), str(self.folder / "conf")]


def _from_fields(fields: dict[str, bytes]) -> Stored:
    return Stored(
        id=fields.pop("message_id").decode(),
        key=fields.pop("key").decode(),
        body=fields.pop("body"),
        content_type=fields.pop("content_type").decode(),
        headers={name: value.decode() for name, value in fields.items()},
    )


class RabbitMQ(Server):
    library = "aio_pika"
    scheme = "amqp"
    tls_scheme = "amqps"
    #: The one that a new server has.
    user = "guest"

    def __init__(self, folder: Path, *, tls: Path | None = None, settings: str = "") -> None:
        super().__init__(folder, tls=tls, settings=settings)
        self._ports = {"ERL_EPMD_PORT": str(free_port()), "RABBITMQ_DIST_PORT": str(free_port())}
        # The server would start one that outlives it.
        self._epmd = subprocess.Popen([_program("epmd"), "-port", self._ports["ERL_EPMD_PORT"]])

    def close(self) -> None:
        super().close()
        self._epmd.kill()
        self._epmd.wait(30)

    async def prepare(self, destination: str, **arguments: Any) -> None:
        connection = await self.connection()
        channel = await connection.channel()
        exchange = await channel.declare_exchange(destination, "topic", durable=True)
        queue = await channel.declare_queue("events", durable=True, arguments=arguments)
        await queue.bind(exchange, "#")
        await connection.close()

    async def read(self, destination: str) -> list[Stored]:
        connection = await self.connection()
        queue = await (await connection.channel()).get_queue("events")
        found = []
        while (message := await queue.get(no_ack=True, fail=False)) is not None:
            assert message.delivery_mode == 2, "persistent"
            found.append(
                Stored(
                    id=str(message.message_id),
                    key=str(message.routing_key),
                    body=message.body,
                    content_type=str(message.content_type),
                    headers={name: str(value) for name, value in message.headers.items()},
                )
            )
        await connection.close()
        return found

    async def connection(self) -> Any:
        import aio_pika

        return await aio_pika.connect(f"amqp://{self.user}:{QUOTED}@127.0.0.1:{self.port}")

    def _command(self) -> list[str]:
        listener = f"listeners.tcp.1 = 127.0.0.1:{self.port}"
        if self.tls:
            listener = (
                f"listeners.tcp = none\nlisteners.ssl.1 = 127.0.0.1:{self.port}\n"
                f"ssl_options.cacertfile = {self.tls}/ca.pem\nssl_options.certfile = {self.tls}/cert.pem\n"
                f"ssl_options.keyfile = {self.tls}/key.pem\n"
                f"ssl_options.verify = verify_{'peer' if self.wants_certificate else 'none'}\n"
                f"ssl_options.fail_if_no_peer_cert = {str(self.wants_certificate).lower()}"
            )
        (self.folder / "rabbitmq.conf").write_text(
            f"{listener}\ndefault_user = {self.user}\ndefault_pass = {PASSWORD}\n{self.settings}\n"
        )
        scripts = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
        if not scripts:  # the script of Debian's that is on the path changes the user
            pytest.skip("needs rabbitmq-server")
        return [str(scripts[-1])]

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **self._ports,
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": "test@localhost",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
        }

    def _answers(self) -> bool:
        """Once the server speaks, and not only listens."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as client:
                client.settimeout(1)
                client.sendall(b"AMQP\0\0\x09\x01")
                return self.tls is not None or client.recv(1) == b"\x01"
        except OSError:
            return False


class Kafka(Server):
    """Not a Kafka: the cluster in memory that librdkafka has for its own tests, which speaks the protocol."""

    library = "aiokafka"
    scheme = "kafka"
    tls_scheme = "kafka+ssl"
    _SCRIPT = (
        "import signal, sys\n"
        "from confluent_kafka import Producer\n"
        "client = Producer({'test.mock.num.brokers': 1, 'bootstrap.servers': 'none'})\n"
        "(broker,) = client.list_topics(timeout=10).brokers.values()\n"
        "open(sys.argv[1], 'w').write(str(broker.port))\n"
        "signal.pause()\n"
    )

    def __init__(self, folder: Path, *, tls: Path | None = None, settings: str = "") -> None:
        super().__init__(folder, tls=tls, settings=settings)
        if find_spec("confluent_kafka") is None:
            pytest.skip("needs confluent-kafka, for the cluster that it can pretend to be")

    @property
    def url(self) -> str:
        return f"kafka://127.0.0.1:{self.port}"

    async def prepare(self, destination: str) -> None:
        """The first request makes the topic, with four partitions."""

    async def read(self, destination: str) -> list[Stored]:
        from aiokafka import AIOKafkaConsumer

        consumer = AIOKafkaConsumer(
            destination, bootstrap_servers=f"127.0.0.1:{self.port}", auto_offset_reset="earliest"
        )
        await consumer.start()
        found = []
        ends = await consumer.end_offsets(consumer.assignment())
        for partition, end in ends.items():
            consumer.pause(*consumer.assignment())
            consumer.resume(partition)
            while await consumer.position(partition) < end:
                for records in (await consumer.getmany(partition, timeout_ms=500)).values():
                    found += map(_from_record, records)
        await consumer.stop()
        return found

    def _command(self) -> list[str]:
        return [sys.executable, "-c", self._SCRIPT, str(self.folder / "port")]

    def _answers(self) -> bool:
        text = (self.folder / "port").read_text() if (self.folder / "port").exists() else ""
        self.port = int(text) if text else self.port
        return bool(text)


def _from_record(record: Any) -> Stored:
    headers = {name: value.decode() for name, value in record.headers}
    return Stored(
        id=headers.pop("message_id"),
        key=record.key.decode(),
        body=record.value,
        content_type=headers.pop("content-type"),
        headers=headers,
    )


def _program(name: str) -> str:
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip(f"needs {name}")
    return path


SERVERS: list[type[Server]] = [Nats, RabbitMQ, Redis, Kafka]
#: Those that keep what they have when they are killed.
DURABLE: list[type[Server]] = [Nats, RabbitMQ, Redis]
