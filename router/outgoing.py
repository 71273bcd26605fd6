"""Where requests may go whose URL somebody else wrote: to public addresses, and those that are allowed."""

from __future__ import annotations

import os
import socket
import ssl
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: Kinds that ``private`` allows.
_PRIVATE = frozenset({"private", "loopback"})
#: What IANA's registries keep from the public, each with its kind. The first that holds an address counts.
_KINDS: list[tuple[Network, str]] = [
    (ip_network(network), kind)
    for kind, networks in {
        # Where clouds answer for a machine's metadata: most, Azure, Alibaba, Oracle, AWS, Google.
        "cloud metadata": (
            "169.254.169.254/32 168.63.129.16/32 100.100.100.200/32 192.0.0.192/32 fd00:ec2::/32 fd20:ce::/32"
        ),
        "loopback": "127.0.0.0/8 ::1/128",
        "private": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7",
        "shared (CGNAT)": "100.64.0.0/10",
        "link-local": "169.254.0.0/16 fe80::/10",
        "multicast": "224.0.0.0/4 ff00::/8",
        "6to4": "192.88.99.0/24 2002::/16",
        "documentation": "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20",
        "reserved": "0.0.0.0/8 192.0.0.0/24 198.18.0.0/15 240.0.0.0/4 2001::/23",
    }.items()
    for network in networks.split()
]
#: All that is given out of IPv6 so far.
_UNICAST = IPv6Network("2000::/3")
#: Where an IPv6 address stands for an IPv4 address, in its last 32 bits: mapped ones, and NAT64.
_STAND_INS = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))


class AddressRefused(OSError):
    """Raised instead of connecting to an address that a guard does not allow."""

    def __init__(self, address: str, kind: str) -> None:
        #: The address; where an IPv6 address stands for an IPv4 address, that one.
        self.address = address
        #: What it is: ``public``, ``private``, ``loopback``, ``cloud metadata`` …
        self.kind = kind
        super().__init__(f"{address} is not allowed ({kind})")
        self.strerror = str(self)  # what aiohttp shows


@dataclass(frozen=True, slots=True)
class AddressGuard:
    """Tells which addresses may be connected to."""

    #: Networks that are allowed, whatever is in them.
    allow: tuple[Network, ...] = ()
    #: Whether public addresses are allowed as well.
    public: bool = True
    #: Whether private and loopback addresses are allowed as well; cloud metadata is neither.
    private: bool = False

    def check(self, host: str) -> None:
        """Let an IP address pass, or not.

        Raises:
            AddressRefused: It is not allowed, or no IP address.
        """
        try:
            address = _plain(ip_address(host))
        except ValueError:
            raise AddressRefused(host, "no IP address") from None
        kind = _kind_of(address)
        if not self._allows(kind) and not any(address in network for network in self.allow):
            raise AddressRefused(str(address), kind)

    def connector(self, *, resolver: AbstractResolver | None = None, **settings: Any) -> aiohttp.TCPConnector:
        """Return a connector that opens connections to allowed addresses only. Call it in the event loop.

        Each address is checked right before it is connected to: a name may lead to one address now and to
        another one later. Of a name with several addresses, those that are allowed are tried. Where there
        is none, a request raises `aiohttp.ClientConnectorError` with an `AddressRefused` as its ``os_error``.

        Args:
            resolver: Looks names up; the system by default.
            settings: What else `aiohttp.TCPConnector` takes.
        """
        return aiohttp.TCPConnector(
            resolver=_Resolver(self, resolver or aiohttp.ThreadedResolver()),
            socket_factory=self._open,
            **settings,
        )

    def _allows(self, kind: str) -> bool:
        return self.public if kind == "public" else self.private and kind in _PRIVATE

    def _open(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """Open the socket that is connected to this very address next."""
        family, type_, protocol, _, address = info
        self.check(str(address[0]))
        return socket.socket(family, type_, protocol)


class _Resolver(AbstractResolver):
    """Leaves out the addresses that are not allowed.

    They would not be connected to anyway. But aiohttp tells what went wrong with the last address it tried:
    that it is refused, where it is an allowed one that does not answer at the moment.
    """

    def __init__(self, guard: AddressGuard, resolver: AbstractResolver) -> None:
        self._guard = guard
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Look up a name.

        Raises:
            AddressRefused: It leads to no address that is allowed.
            OSError: It leads nowhere.
        """
        allowed: list[ResolveResult] = []
        refused = OSError("it has no address")
        for found in await self._resolver.resolve(host, port, family):
            try:
                self._guard.check(found["host"])
            except AddressRefused as exc:
                refused = exc
            else:
                allowed.append(found)
        if not allowed:
            raise refused
        return allowed

    async def close(self) -> None:
        await self._resolver.close()


def _plain(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(address, IPv6Address) and any(address in network for network in _STAND_INS):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _kind_of(address: Address) -> str:
    """Return what an address is, such as ``loopback`` or ``public``."""
    for network, kind in _KINDS:
        if address in network:
            return kind
    return "reserved" if isinstance(address, IPv6Address) and address not in _UNICAST else "public"


def connection_failure(exc: Exception) -> str:
    """Return what went wrong with a request of aiohttp's, in words without its URL's path and query."""
    match exc:
        case aiohttp.ClientConnectorCertificateError():
            found = f"its certificate is not accepted: {_reason(exc.certificate_error)}"
        case aiohttp.ClientConnectorDNSError():
            found = f"its name cannot be looked up: {_reason(exc.os_error)}"
        case aiohttp.ClientConnectorError():
            found = f"cannot connect: {_reason(exc.os_error)}"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            found = "the connection was closed before there was an answer"
        case aiohttp.ClientResponseError():
            found = "the answer is no HTTP"
        case _:
            found = type(exc).__name__
    return found


def _reason(exc: Exception) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return exc.verify_message
    if isinstance(exc, ssl.SSLError):
        return f"no TLS: {exc.reason}"
    if isinstance(exc, OSError):
        return os.strerror(exc.errno) if exc.errno and exc.errno > 0 else str(exc.strerror or exc)
    return str(exc)
