"""Signatures by Standard Webhooks 1.0: HMAC-SHA256 over id, time and body."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from urllib.parse import quote

_PREFIX = "whsec_"
#: Bytes of a key that the specification allows.
_FEWEST, _MOST = 24, 64


def new_secret() -> str:
    """Return a new secret: 32 random bytes."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """Return the key that a secret stands for.

    Raises:
        ValueError: It is no secret; the message does not show it.
    """
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or not _FEWEST <= len(key) <= _MOST:
        raise ValueError(
            f"expected {_PREFIX} and {_FEWEST} to {_MOST} bytes in base64: `router forward secret` prints one"
        )
    return key


def webhook_id(event_id: str, route: str) -> str:
    """Return what a receiver tells repetitions by: the same for every attempt of an event on a route.

    It holds no full stop, which separates the parts of what is signed.
    """
    return f"{event_id}_{quote(route, safe='')}".replace(".", "%2E")


def webhook_headers(id_: str, at: float, body: bytes, keys: Iterable[bytes]) -> dict[str, str]:
    """Return the headers of Standard Webhooks, with a signature by each key; without keys, none.

    Args:
        id_: See `webhook_id`.
        at: When the request is sent, in UNIX seconds.
        body: Its body.
        keys: See `key_of`; several while they are rotated.
    """
    headers = {"webhook-id": id_, "webhook-timestamp": str(int(at))}
    signed = f"{id_}.{int(at)}.".encode() + body
    if signatures := [_signature(key, signed) for key in keys]:
        headers["webhook-signature"] = " ".join(signatures)
    return headers


def _signature(key: bytes, signed: bytes) -> str:
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
