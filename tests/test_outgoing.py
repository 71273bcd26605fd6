"""Where a guard lets requests go, against servers on this machine."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from router import AddressGuard, AddressRefused

#: Each with what it is.
REFUSED = [
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("::1", "loopback"),
    ("10.0.0.1", "private"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.168.1.1", "private"),
    ("fd12:3456::1", "private"),
    ("169.254.169.254", "cloud metadata"),
    ("168.63.129.16", "cloud metadata"),
    ("100.100.100.200", "cloud metadata"),
    ("192.0.0.192", "cloud metadata"),
    ("fd00:ec2::254", "cloud metadata"),
    ("fd20:ce::254", "cloud metadata"),
    ("169.254.1.1", "link-local"),
    ("fe80::1", "link-local"),
    ("fe80::1%eth0", "link-local"),
    ("100.64.0.1", "shared (CGNAT)"),
    ("224.0.0.1", "multicast"),
    ("ff02::1", "multicast"),
    ("0.0.0.0", "reserved"),
    ("0.1.2.3", "reserved"),
    ("255.255.255.255", "reserved"),
    ("240.0.0.1", "reserved"),
    ("198.18.0.1", "reserved"),
    ("192.0.2.1", "documentation"),
    ("198.51.100.1", "documentation"),
    ("203.0.113.1", "documentation"),
    ("2001:db8::1", "documentation"),
    ("3fff::1", "documentation"),
    ("192.88.99.1", "6to4"),
    ("2002:7f00:1::", "6to4"),
    ("2002:808:808::", "6to4"),
    ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "reserved"),  # Teredo
    ("::", "reserved"),
    ("::7f00:1", "reserved"),
    ("::ffff:0:7f00:1", "reserved"),
    ("64:ff9b:1::7f00:1", "reserved"),
    ("fec0::1", "reserved"),
    ("5f00::1", "reserved"),
]
#: IPv6 addresses that stand for an IPv4 address: that one, and what it is.
STAND_INS = [
    ("::ffff:127.0.0.1", "127.0.0.1", "loopback"),
    ("::ffff:7f00:1", "127.0.0.1", "loopback"),
    ("::ffff:169.254.169.254", "169.254.169.254", "cloud metadata"),
    ("64:ff9b::10.0.0.1", "10.0.0.1", "private"),
    ("64:ff9b::a9fe:a9fe", "169.254.169.254", "cloud metadata"),
]
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "172.32.0.1",
    "100.128.0.1",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]


def allowing(*networks: str, **settings: bool) -> AddressGuard:
    return AddressGuard(tuple(map(ip_network, networks)), **settings)


def verdict(guard: AddressGuard, host: str) -> str:
    """Return ``passes``, or what is told."""
    try:
        guard.check(host)
    except AddressRefused as exc:
        return str(exc)
    return "passes"


# Addresses


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address: str) -> None:
    assert verdict(AddressGuard(), address) == "passes"


@pytest.mark.parametrize(
    ("host", "address", "kind"), [*((address, address, kind) for address, kind in REFUSED), *STAND_INS]
)
def test_others_are_refused(host: str, address: str, kind: str) -> None:
    with pytest.raises(AddressRefused) as refused:
        AddressGuard().check(host)

    assert (refused.value.address, refused.value.kind) == (address, kind)
    assert str(refused.value) == refused.value.strerror == f"{address} is not allowed ({kind})"


@pytest.mark.parametrize("host", ["", "localhost", "2130706433", "127.1", "0x7f.1", "010.0.0.1", "zz::1"])
def test_what_is_no_address_is_refused(host: str) -> None:
    assert verdict(AddressGuard(private=True), host) == f"{host} is not allowed (no IP address)"


@pytest.mark.parametrize(
    ("address", "passes"),
    [
        ("10.1.2.3", True),
        ("10.2.0.0", False),
        ("::ffff:10.1.2.3", True),
        ("fd00:1::5", True),
        ("fd00:2::5", False),
        ("169.254.169.254", False),
        ("8.8.8.8", True),
    ],
)
def test_networks_may_be_allowed(address: str, passes: bool) -> None:
    told = verdict(allowing("10.1.0.0/16", "fd00:1::/32"), address)

    assert (told == "passes") is passes


def test_what_is_allowed_by_name_may_be_metadata() -> None:
    assert verdict(allowing("169.254.169.254/32"), "169.254.169.254") == "passes"


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "192.168.0.1", "127.0.0.1", "::1", "fd12::1", "::ffff:127.0.0.1", "8.8.8.8"]
)
def test_all_private_ones_may_be_allowed(address: str) -> None:
    assert verdict(AddressGuard(private=True), address) == "passes"


@pytest.mark.parametrize(
    "address", [address for address, kind in REFUSED if kind not in {"private", "loopback"}]
)
def test_with_the_private_ones_the_others_are_not_allowed(address: str) -> None:
    assert verdict(AddressGuard(private=True), address) != "passes"


def test_without_public_ones_only_what_is_allowed_passes() -> None:
    guard = allowing("10.0.0.0/8", public=False)

    assert verdict(guard, "10.0.0.1") == "passes"
    assert verdict(guard, "8.8.8.8") == "8.8.8.8 is not allowed (public)"
    assert verdict(guard, "192.168.0.1") == "192.168.0.1 is not allowed (private)"


# Connections


class Server:
    """Answers with its own address, or sends elsewhere."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.port = 0
        self.asked = 0
        self.location = ""

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        if self.location:
            return web.Response(status=302, headers={"Location": self.location})
        return web.Response(text=self.host)


@asynccontextmanager
async def listening(host: str, port: int = 0) -> AsyncIterator[Server]:
    server = Server(host)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()


@pytest.fixture
async def inside() -> AsyncIterator[Server]:
    async with listening("127.0.0.1") as server:
        yield server


class Names(AbstractResolver):
    """Says what names lead to: the addresses of each look-up in turn; the last ones stay."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        pass


async def get(guard: AddressGuard, url: str, *, times: int = 1, **settings: Any) -> list[str]:
    """Ask for a URL that many times, over a connection of its own each; return what came of each."""
    connector = guard.connector(force_close=True, use_dns_cache=False, **settings)
    async with aiohttp.ClientSession(connector=connector) as session:
        return [await _get(session, url) for _ in range(times)]


async def _get(session: aiohttp.ClientSession, url: str) -> str:
    try:
        async with session.get(url) as response:
            return await response.text()
    except aiohttp.ClientConnectorError as exc:
        is_refused = isinstance(exc.os_error, AddressRefused)
        return str(exc.os_error) if is_refused else type(exc.os_error).__name__
    except aiohttp.InvalidURL:
        return "no URL"


async def test_an_address_that_is_allowed_is_connected_to(inside: Server) -> None:
    url = f"http://127.0.0.1:{inside.port}"

    assert await get(allowing("127.0.0.1/32"), url) == ["127.0.0.1"]


async def test_ipv6_is_connected_to_if_allowed() -> None:
    async with listening("::1") as server:
        url = f"http://[::1]:{server.port}"

        assert await get(allowing("::1/128"), url) == ["::1"]
        assert await get(AddressGuard(), url) == ["::1 is not allowed (loopback)"]


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("127.0.0.1", "127.0.0.1 is not allowed (loopback)"),
        ("127.0.0.1.", "no URL"),
        ("[::1]", "::1 is not allowed (loopback)"),
        ("[::ffff:127.0.0.1]", "127.0.0.1 is not allowed (loopback)"),
        ("[64:ff9b::127.0.0.1]", "127.0.0.1 is not allowed (loopback)"),
        ("[zz::1]", "zz::1 is not allowed (no IP address)"),
        ("2130706433", "no URL"),
        ("127.1", "no URL"),
        ("0x7f.1", "127.0.0.1 is not allowed (loopback)"),
    ],
)
async def test_an_address_in_a_url_is_refused(inside: Server, host: str, told: str) -> None:
    assert await get(AddressGuard(), f"http://{host}:{inside.port}") == [told]
    assert inside.asked == 0


async def test_a_name_that_the_system_knows_is_refused(inside: Server) -> None:
    (told,) = await get(AddressGuard(), f"http://localhost:{inside.port}")

    assert told.endswith("is not allowed (loopback)")
    assert inside.asked == 0


async def test_a_refusal_shows_in_what_aiohttp_tells(inside: Server) -> None:
    async with aiohttp.ClientSession(connector=AddressGuard().connector()) as session:
        with pytest.raises(
            aiohttp.ClientConnectorError, match=r"\[127\.0\.0\.1 is not allowed \(loopback\)\]"
        ):
            await session.get(f"http://127.0.0.1:{inside.port}")


@pytest.mark.parametrize(
    ("addresses", "told"),
    [
        (["127.0.0.1"], "127.0.0.1 is not allowed (loopback)"),
        (["169.254.169.254"], "169.254.169.254 is not allowed (cloud metadata)"),
        (["::ffff:127.0.0.1"], "127.0.0.1 is not allowed (loopback)"),
        (["64:ff9b::127.0.0.1"], "127.0.0.1 is not allowed (loopback)"),
        (["2002:7f00:1::"], "2002:7f00:1:: is not allowed (6to4)"),
        (["10.0.0.1", "127.0.0.1"], "127.0.0.1 is not allowed (loopback)"),
        (["::1", "127.0.0.1"], "127.0.0.1 is not allowed (loopback)"),
        (["127.0.0.1", "::1"], "::1 is not allowed (loopback)"),
        (["::1"], "::1 is not allowed (loopback)"),
        ([], "OSError"),
    ],
    ids=str,
)
async def test_a_name_that_leads_inside_is_refused(inside: Server, addresses: list[str], told: str) -> None:
    url = f"http://shop.example:{inside.port}"

    assert await get(AddressGuard(), url, resolver=Names(addresses)) == [told]
    assert inside.asked == 0


async def test_a_name_that_leads_inside_later_is_refused_then(inside: Server) -> None:
    """The trick is called DNS rebinding: one address for who checks, another one for who connects."""
    async with listening("127.0.0.2", inside.port):
        told = await get(
            allowing("127.0.0.2/32"),
            f"http://shop.example:{inside.port}",
            times=2,
            resolver=Names(["127.0.0.2"], ["127.0.0.1"]),
        )

    assert told == ["127.0.0.2", "127.0.0.1 is not allowed (loopback)"]
    assert inside.asked == 0


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"], ["::1", "10.0.0.1", "127.0.0.2"]],
    ids=str,
)
async def test_of_several_addresses_only_the_allowed_ones_are_connected_to(
    inside: Server, addresses: list[str]
) -> None:
    async with listening("127.0.0.2", inside.port):
        url = f"http://shop.example:{inside.port}"

        assert await get(allowing("127.0.0.2/32"), url, resolver=Names(addresses)) == ["127.0.0.2"]
    assert inside.asked == 0


@pytest.mark.parametrize(
    "addresses", [["127.0.0.2", "127.0.0.1", "::1"], ["127.0.0.1", "127.0.0.2"]], ids=str
)
async def test_an_allowed_address_where_nobody_listens_is_no_refusal(
    inside: Server, addresses: list[str]
) -> None:
    url = f"http://shop.example:{inside.port}"

    told = await get(allowing("127.0.0.2/32"), url, resolver=Names(addresses))

    assert (told, inside.asked) == (["ConnectionRefusedError"], 0)


async def test_a_redirect_is_checked_like_the_first_url(inside: Server) -> None:
    async with listening("127.0.0.2") as outside:
        outside.location = f"http://127.0.0.1:{inside.port}"

        told = await get(allowing("127.0.0.2/32"), f"http://127.0.0.2:{outside.port}")

    assert told == ["127.0.0.1 is not allowed (loopback)"]
    assert (outside.asked, inside.asked) == (1, 0)


async def test_no_setting_takes_the_guard_away() -> None:
    with pytest.raises(TypeError, match="socket_factory"):
        AddressGuard().connector(socket_factory=socket.socket)
