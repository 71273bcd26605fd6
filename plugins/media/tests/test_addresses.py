from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from router_media.addresses import Guard, Refused, kind_of, plain


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "223.255.255.255", "2606:4700:4700::1111", "2a00::1"],
)
def test_public_addresses_pass(address: str) -> None:
    Guard().check(address)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
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
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "reserved"),
        ("::", "reserved"),
        ("::7f00:1", "reserved"),
        ("::ffff:0:7f00:1", "reserved"),
        ("64:ff9b:1::7f00:1", "reserved"),
        ("fec0::1", "reserved"),
        ("5f00::1", "reserved"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:7f00:1", "loopback"),
        ("::ffff:169.254.169.254", "cloud metadata"),
        ("64:ff9b::10.0.0.1", "private"),
        ("64:ff9b::a9fe:a9fe", "cloud metadata"),
    ],
)
def test_others_are_refused(address: str, kind: str) -> None:
    assert kind_of(plain(ip_address(address))) == kind
    with pytest.raises(Refused, match="is not public"):
        Guard().check(address)


@pytest.mark.parametrize("address", ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_what_stands_for_a_public_address_is_public(address: str) -> None:
    Guard().check(address)


def test_the_message_says_what_it_is_and_what_may_be_done() -> None:
    with pytest.raises(Refused) as refused:
        Guard().check("::ffff:10.0.0.1")

    assert str(refused.value) == "10.0.0.1 is not public (private), and the option allow does not list it"


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
    guard = Guard((ip_network("10.1.0.0/16"), ip_network("fd00:1::/32")))

    if passes:
        guard.check(address)
    else:
        with pytest.raises(Refused):
            guard.check(address)


def test_without_public_ones_only_what_is_allowed_passes() -> None:
    guard = Guard((ip_network("10.0.0.0/8"),), public=False)

    guard.check("10.0.0.1")
    with pytest.raises(Refused, match=r"8\.8\.8\.8 is asked for without TLS"):
        guard.check("8.8.8.8")
