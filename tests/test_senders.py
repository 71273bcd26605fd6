from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from router.greenapi.addresses import AS_OF, NETWORKS
from router.transports.senders import Networks, sender

PROXIES = Networks([ip_network("10.0.0.0/8"), ip_network("::1")])

SENDERS = [
    ("the peer itself", "203.0.113.7", None, "203.0.113.7"),
    ("a peer that is no proxy may say what it likes", "203.0.113.7", "198.51.100.1", "203.0.113.7"),
    ("a proxy names the sender", "10.0.0.1", "198.51.100.1", "198.51.100.1"),
    ("a proxy that names nobody", "10.0.0.1", None, "10.0.0.1"),
    ("a proxy that names nobody, in a header", "10.0.0.1", "", "10.0.0.1"),
    ("a chain of proxies", "10.0.0.1", "198.51.100.1, 10.0.0.3, 10.0.0.2", "198.51.100.1"),
    ("what the sender forged is further left", "10.0.0.1", "46.101.109.139, 198.51.100.1", "198.51.100.1"),
    (
        "a forged proxy is further left too",
        "10.0.0.1",
        "46.101.109.139, 10.9.9.9, 198.51.100.1",
        "198.51.100.1",
    ),
    ("nobody but proxies", "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
    ("without spaces", "10.0.0.1", "198.51.100.1,10.0.0.2", "198.51.100.1"),
    ("with a port", "10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
    ("IPv6", "::1", "2001:db8::7", "2001:db8::7"),
    ("IPv6 in brackets", "::1", "[2001:db8::7]", "2001:db8::7"),
    ("IPv6 in brackets with a port", "::1", "[2001:db8::7]:4711", "2001:db8::7"),
    ("IPv6 with a zone", "fe80::1%eth0", None, "fe80::1"),
    ("IPv4 written as IPv6", "::ffff:203.0.113.7", None, "203.0.113.7"),
    ("a proxy written as IPv6", "::ffff:10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
    ("an entry that is no address", "10.0.0.1", "unknown", None),
    ("garbage is not stepped over", "10.0.0.1", "198.51.100.1, _hidden, 10.0.0.2", None),
    ("garbage left of the sender is never read", "10.0.0.1", "<script>, 198.51.100.1", "198.51.100.1"),
    ("an empty entry", "10.0.0.1", "198.51.100.1,", None),
    ("numbers that are no address", "10.0.0.1", "1.2.3.256", None),
    ("an octet with a leading zero", "10.0.0.1", "010.1.2.3", None),
    ("a bracket that is never closed", "10.0.0.1", "[2001:db8::7", "2001:db8::7"),
    ("a UNIX socket has no address", None, "198.51.100.1", None),
    ("a peer that is no address", "testclient", "198.51.100.1", None),
]


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [row[1:] for row in SENDERS],
    ids=[row[0] for row in SENDERS],
)
def test_the_sender_is_the_first_from_the_right_that_is_no_proxy(
    peer: str | None, forwarded_for: str | None, expected: str | None
) -> None:
    found = sender(peer, forwarded_for, PROXIES)
    assert found == (ip_address(expected) if expected else None)


def test_without_trusted_proxies_nobody_else_is_believed() -> None:
    assert sender("127.0.0.1", "198.51.100.1", Networks()) == ip_address("127.0.0.1")


@pytest.mark.parametrize(
    ("address", "is_in"),
    [
        ("203.0.113.0", True),
        ("203.0.113.255", True),
        ("203.0.114.0", False),
        ("198.51.100.9", True),
        ("198.51.100.8", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
    ],
)
def test_networks_hold_ranges_and_single_addresses_of_both_kinds(address: str, is_in: bool) -> None:
    networks = Networks(map(ip_network, ["203.0.113.0/24", "198.51.100.9", "2001:db8::/32"]))
    assert (ip_address(address) in networks) is is_in


def test_no_networks_are_false() -> None:
    assert (bool(Networks()), bool(Networks([ip_network("::/0")]))) == (False, True)


def test_the_addresses_of_green_api_are_public_and_dated() -> None:
    assert all(network.num_addresses == 1 and network.is_global for network in NETWORKS)
    assert ip_address("46.101.109.139") in Networks(NETWORKS)
    assert AS_OF == "2026-07-15"
