"""The addresses that GREEN-API's webhook sender uses, as it publishes them.

The list changes from time to time; ``addresses.json`` beside this file says of which day it is.
"""

from __future__ import annotations

from importlib.resources import files
from ipaddress import IPv4Network

import orjson

_PUBLISHED = orjson.loads((files("router.greenapi") / "addresses.json").read_bytes())

#: ISO date of the list.
AS_OF: str = _PUBLISHED["as_of"]
#: The addresses, each as a network of its own.
NETWORKS: tuple[IPv4Network, ...] = tuple(IPv4Network(address) for address in _PUBLISHED["addresses"])
