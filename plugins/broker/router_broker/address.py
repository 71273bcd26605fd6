"""Where a broker is: the ``url`` of a route, taken apart, so that no text shows what is secret in it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import SplitResult, unquote, urlsplit


class Kind(StrEnum):
    """A kind of broker, named as the extra that installs its client."""

    NATS = "nats"
    RABBITMQ = "rabbitmq"
    REDIS = "redis"
    KAFKA = "kafka"


#: Of each scheme: the kind, the port, and whether the connection is encrypted.
_SCHEMES = {
    "nats": (Kind.NATS, 4222, False),
    "tls": (Kind.NATS, 4222, True),
    "amqp": (Kind.RABBITMQ, 5672, False),
    "amqps": (Kind.RABBITMQ, 5671, True),
    "redis": (Kind.REDIS, 6379, False),
    "rediss": (Kind.REDIS, 6379, True),
    "kafka": (Kind.KAFKA, 9092, False),
    "kafka+ssl": (Kind.KAFKA, 9093, True),
}
#: Clients that take several servers and use one that answers.
_OF_CLUSTERS = {Kind.NATS, Kind.KAFKA}

_SCHEME = re.compile(r"[a-z][a-z0-9+]{0,15}")
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+)(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A broker's address. Its text, ``kafka://one:9092,two:9092``, shows no credentials."""

    kind: Kind
    scheme: str
    is_encrypted: bool
    #: ``host:port`` each.
    hosts: tuple[str, ...]
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)
    #: As it was given.
    url: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.scheme}://{','.join(self.hosts)}"


def parse(url: str) -> Address:
    """Take an address apart.

    Raises:
        ValueError: It is none of a broker that is known here. The text shows nothing that may be secret.
    """
    scheme, parts = _scheme(url), _split(url)
    kind, port, is_encrypted = _SCHEMES[scheme]
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    return Address(
        kind=kind,
        scheme=scheme,
        is_encrypted=is_encrypted,
        hosts=_hosts(kind, hosts, port),
        user=unquote(user) or None,
        password=unquote(password) or None,
        url=url,
    )


def _scheme(url: str) -> str:
    scheme, separator, _ = url.partition("://")
    if scheme in _SCHEMES and separator:
        return scheme
    found = f"found {scheme}://" if separator and _SCHEME.fullmatch(scheme) else "found something else"
    raise ValueError(f"url: expected one that begins with {', '.join(f'{s}://' for s in _SCHEMES)}; {found}")


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as exc:  # its text quotes the url
        raise ValueError("url: expected SCHEME://USER:PASSWORD@HOST:PORT, found something else") from exc


def _hosts(kind: Kind, text: str, port: int) -> tuple[str, ...]:
    matches = [_HOST.fullmatch(host) for host in text.split(",")]
    if any(match is None or int(match["port"] or port) > 65535 for match in matches):
        raise ValueError(
            "url: expected HOST:PORT before the path; is a character of the password like / ? # @ % "
            "not written as %2F %3F %23 %40 %25?"
        )
    if len(matches) > 1 and kind not in _OF_CLUSTERS:
        raise ValueError(f"url: expected one host for {kind.value}, found {len(matches)}")
    return tuple(f"{match['name']}:{match['port'] or port}" for match in matches if match)
