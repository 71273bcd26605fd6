"""What a route says about its broker."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from router import Duration
from router_broker.address import Address, Kind, parse

_TIMEOUT = Duration("10s")
#: Which options only one kind of broker has.
_OF_ONE_KIND = {"max_length": Kind.REDIS, "replicas": Kind.REDIS, "sasl": Kind.KAFKA}

Url = Annotated[
    str,
    Meta(
        min_length=1,
        description="nats://, tls://, amqp://, amqps://, redis://, rediss://, kafka:// or kafka+ssl://, "
        "USER:PASSWORD@ if needed, and HOST:PORT; nats and kafka take several, with commas between.",
        extra_json_schema={"writeOnly": True},
    ),
]
Destination = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=r"^[^\s]+$",
        description="NATS: what subjects begin with; RabbitMQ: the exchange; Redis: the stream's key; "
        "Kafka: the topic.",
    ),
]
Timeout = Annotated[
    Duration, Meta(description="How long connecting may take, and then the broker's confirmation.")
]
Data = Annotated[
    bool, Meta(description="Whether the whole notification is published beside the event's fields.")
]
CaFile = Annotated[str, Meta(description="Certificates to trust, instead of the system's; PEM.")]
CertFile = Annotated[str, Meta(description="The client's own certificate; PEM.")]
KeyFile = Annotated[str, Meta(description="Its key, unless cert_file has it; PEM.")]
Sasl = Annotated[
    Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], Meta(description="Kafka: how to log in.")
]
MaxLength = Annotated[int, Meta(ge=1, description="Redis: entries to keep, about; older ones are removed.")]
Replicas = Annotated[int, Meta(ge=1, description="Redis: replicas that must have an event as well.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a route whose handler is ``broker``."""

    url: Url = field(repr=False)
    destination: Destination
    timeout: Timeout = _TIMEOUT
    data: Data = True
    ca_file: CaFile | None = None
    cert_file: CertFile | None = None
    key_file: KeyFile | None = None
    sasl: Sasl | None = None
    max_length: MaxLength | None = None
    replicas: Replicas | None = None

    def __post_init__(self) -> None:
        address = parse(self.url)
        for name, kind in _OF_ONE_KIND.items():
            if getattr(self, name) is not None and address.kind is not kind:
                raise ValueError(f"{name} is for {kind.value}, and url is that of {address.kind.value}")
        if self.timeout <= 0:
            raise ValueError("timeout: expected more than 0s")
        self._check_destination(address.kind)
        self._check_files(address)

    @property
    def address(self) -> Address:
        """The url, taken apart."""
        return parse(self.url)

    def tls(self) -> ssl.SSLContext | None:
        """Return what an encrypted connection is made with; ``None`` if it is not encrypted.

        Raises:
            OSError: A file cannot be read, or is no certificate or key; the text names it.
        """
        if not self.address.is_encrypted:
            return None
        with _about(f"ca_file {self.ca_file!r}"):
            context = ssl.create_default_context(cafile=self.ca_file)
        if self.cert_file:
            with _about(f"cert_file {self.cert_file!r}, key_file {self.key_file!r}"):
                context.load_cert_chain(self.cert_file, self.key_file)
        return context

    def _check_destination(self, kind: Kind) -> None:
        if kind is Kind.NATS and not all(self.destination.split(".")):
            raise ValueError("destination: expected words with dots between, such as green.events")
        if kind is Kind.NATS and set(self.destination) & set("*>"):
            raise ValueError("destination: expected a subject without wildcards, such as green.events")

    def _check_files(self, address: Address) -> None:
        given = [name for name in ("ca_file", "cert_file", "key_file") if getattr(self, name) is not None]
        if given and not address.is_encrypted:
            raise ValueError(f"{given[0]} is for an encrypted connection, and {address} is not encrypted")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file: expected cert_file as well")


@contextmanager
def _about(files: str) -> Iterator[None]:
    """Name the files in an error about them: the ssl module does not."""
    try:
        yield
    except OSError as exc:
        raise OSError(f"{files}: {exc.strerror or exc}") from exc
