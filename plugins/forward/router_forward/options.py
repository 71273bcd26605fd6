"""The options of a route with `handler: forward`, and what is checked of them at the start."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Annotated

from msgspec import Meta
from yarl import URL

from router import AddressGuard, AddressRefused, Duration
from router_forward.connections import told
from router_forward.envelopes import Format
from router_forward.signature import key_of

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")
#: A host whose last part is a number is an address, and no name.
_IS_NUMERIC = re.compile(r"(^|\.)(\d+|0[xX][0-9a-fA-F]*)\.?$")
#: Headers that follow from the request.
_OURS = re.compile(
    r"(webhook|ce)-.*|content-(type|length|encoding)|transfer-encoding|connection|expect|host", re.IGNORECASE
)
_TIMEOUT = Duration("15s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where events go, in which form, and how they are signed."""

    #: May hold a token, as those of the receiver's headers and the secrets: kept out of the repr.
    url: Annotated[str, Meta(description="Where events are posted to: http:// or https://.")] = field(
        repr=False
    )
    format: Annotated[
        Format,
        Meta(
            description="json: the event's fields and the notification; cloudevents, cloudevents-binary: "
            "the same as CloudEvents 1.0; notification: the notification as GREEN-API sent it."
        ),
    ] = "json"
    headers: Annotated[dict[str, str], Meta(description="More headers, such as Authorization.")] = field(
        default_factory=dict, repr=False
    )
    secret: Annotated[
        str | list[str],
        Meta(description="Signs each request by Standard Webhooks: whsec_…; a list means rotation."),
    ] = field(default_factory=list, repr=False)
    timeout: Annotated[Duration, Meta(description="How long the answer may take.")] = _TIMEOUT
    allow: Annotated[
        list[str],
        Meta(description="Networks, such as 10.1.0.0/16, that may be posted to though they are not public."),
    ] = field(default_factory=list)
    allow_private: Annotated[
        bool, Meta(description="Whether private and loopback addresses may be posted to.")
    ] = False
    ca_file: Annotated[
        str | None, Meta(description="PEM file of the authorities to trust in place of the system's.")
    ] = None

    def __post_init__(self) -> None:
        """Check what a schema cannot say."""
        with _named("allow"):
            guard = self.guard
        with _named("url"):
            _check_url(self.url, guard)
        with _named("headers"):
            _check_headers(self.headers)
        with _named("secret"):
            _ = self.keys
        with _named("timeout"):
            _check_timeout(self.timeout)
        with _named("ca_file"):
            _ = self.ca_file and self.tls  # the system's own need no check, which takes 40 ms

    @property
    def keys(self) -> list[bytes]:
        """The keys to sign with; none: requests are not signed."""
        return [key_of(secret) for secret in ([self.secret] if isinstance(self.secret, str) else self.secret)]

    @property
    def guard(self) -> AddressGuard:
        """What tells which addresses may be posted to."""
        return AddressGuard(tuple(map(ip_network, self.allow)), private=self.allow_private)

    @property
    def tls(self) -> ssl.SSLContext:
        """How the receiver's certificate is checked."""
        return ssl.create_default_context(cafile=self.ca_file)


@contextmanager
def _named(option: str) -> Iterator[None]:
    """Name the option in what is said of its value."""
    try:
        yield
    except (ValueError, OSError) as exc:
        raise ValueError(f"{option}: {exc}") from exc


def _check_url(text: str, guard: AddressGuard) -> None:
    url = URL(text)
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("expected http:// or https:// and a host")
    if url.user is not None or url.password is not None:
        raise ValueError("name and password do not belong here: use headers: {Authorization: Basic …}")
    if _IS_NUMERIC.search(url.host) or ":" in url.host:
        _check_address(url.host, guard)  # a name's addresses are checked with each connection


def _check_address(host: str, guard: AddressGuard) -> None:
    try:
        guard.check(host)
    except AddressRefused as exc:
        raise ValueError(told(exc)) from None


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header")
        if _OURS.fullmatch(name):
            raise ValueError(f"{name} follows from the request and cannot be set")
        if not _VALUE.fullmatch(value):
            raise ValueError(f"the value of {name} has characters that are not printable ASCII")


def _check_timeout(timeout: float) -> None:
    if timeout <= 0:
        raise ValueError("expected more than 0s")
