"""Who sent a request: the address behind trusted proxies, and whether it is allowed."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Networks:
    """A set of addresses, given as networks."""

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        self._networks = tuple(networks)

    def __contains__(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def __bool__(self) -> bool:
        return bool(self._networks)


def sender(peer: str | None, forwarded_for: str | None, trusted: Networks) -> Address | None:
    """Return the address that a request really came from.

    Only a trusted proxy's ``X-Forwarded-For`` counts, and it is read from the right: each trusted
    proxy vouches for the entry to its left, the first entry that is no trusted proxy is the sender.
    Whatever the sender itself put further left is ignored.

    Args:
        peer: Address of the other end of the connection; ``None`` for a UNIX socket.
        forwarded_for: All values of ``X-Forwarded-For``, joined with commas.
        trusted: The proxies that may set it.

    Returns:
        The address, or ``None`` where the request or a trusted proxy names none that can be read.
    """
    address = _address(peer)
    for entry in reversed(forwarded_for.split(",") if forwarded_for else []):
        if address is None or address not in trusted:
            break
        address = _address(entry.strip())
    return address


def _address(text: str | None) -> Address | None:
    """Read an address, also one with a port or in brackets, as proxies write them."""
    if not text:
        return None
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
