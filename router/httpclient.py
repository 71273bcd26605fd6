"""The HTTP client that handlers share."""

from __future__ import annotations

from importlib.metadata import version as version_of

import aiohttp

#: Seconds until the whole answer has to be there, and to wait for a connection; a handler may say otherwise.
_WHOLE, _CONNECT = 30.0, 10.0


def http_client() -> aiohttp.ClientSession:
    """Return a client without cookies, with the environment's proxies. Enter it in the event loop."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),  # handlers are bounded elsewhere
        timeout=aiohttp.ClientTimeout(total=_WHOLE, connect=_CONNECT),
        headers={"User-Agent": f"green-event-router/{version_of('green-event-router')}"},
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=True,
    )
