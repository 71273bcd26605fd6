"""Which addresses a file may be fetched from: public ones, and those that the options allow."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

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


class Refused(OSError):
    """Raised instead of connecting to an address that is not allowed."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Tells which addresses may be connected to."""

    #: Networks that are allowed, whatever is in them.
    allow: tuple[Network, ...] = ()
    #: Whether public addresses are allowed as well.
    public: bool = True

    def check(self, host: str) -> None:
        """Let an IP address pass, or not.

        Raises:
            Refused: It is not public, and not allowed.
        """
        address = plain(ip_address(host))
        if any(address in network for network in self.allow):
            return
        kind = kind_of(address)
        if kind is not None:
            raise Refused(f"{address} is not public ({kind}), and the option allow does not list it")
        if not self.public:
            raise Refused(f"{address} is asked for without TLS, and the option allow does not list it")


def plain(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(address, IPv6Address) and any(address in network for network in _STAND_INS):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def kind_of(address: Address) -> str | None:
    """Return what an address is that is not public, such as ``loopback``; ``None`` for a public one."""
    for network, kind in _KINDS:
        if address in network:
            return kind
    return "reserved" if isinstance(address, IPv6Address) and address not in _UNICAST else None
