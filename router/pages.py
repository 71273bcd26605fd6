"""HTTP pages of plugins, below ``/plugins/NAME``: for the operator, or for anyone where a plugin says so."""

from __future__ import annotations

import inspect
import secrets
from base64 import b64decode
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import Any

import structlog
from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from router.plugins import Page, Plugin
from router.plugins.loading import told

_log = structlog.get_logger("router.plugins")

Answer = Callable[[Request], Awaitable[Response]]


def page_routes(plugins: Sequence[Plugin], console_token: str | None) -> list[BaseRoute]:
    """Return the routes of all pages.

    Args:
        plugins: Those in use.
        console_token: What a page that is not public asks for; ``None``: an address of this machine.
    """
    return [Mount(f"/plugins/{plugin.name}", routes=_routes(plugin, console_token)) for plugin in plugins]


def _routes(plugin: Plugin, token: str | None) -> list[BaseRoute]:
    return [Route(page.path, _answer(page, token), methods=list(page.methods)) for page in plugin.pages]


def _answer(page: Page, token: str | None) -> Answer:
    async def answer(request: Request) -> Response:
        if not page.public and (refusal := _refusal(request, token)):
            return refusal
        try:
            return await _call(page.endpoint, request)
        except HTTPException:
            raise
        except Exception as exc:  # it is this page's and nobody else's
            facts = {"plugin": page.plugin.name, "path": page.path, "error": told(exc)}
            _log.error("plugin.page_failed", **facts, exc_info=exc)
            return PlainTextResponse(f"The plugin {page.plugin.name} failed: see the log.\n", status_code=500)

    return answer


async def _call(endpoint: Callable[..., Any], request: Request) -> Response:
    is_async = inspect.iscoroutinefunction(endpoint)
    result = endpoint(request) if is_async else await to_thread.run_sync(endpoint, request)
    answer: object = await result if inspect.isawaitable(result) else result
    if not isinstance(answer, Response):
        raise TypeError(f"expected a Response, found {type(answer).__name__}")
    return answer


def _refusal(request: Request, token: str | None) -> Response | None:
    """Return how somebody is refused who may not see the operator's pages."""
    if token is None:
        if _is_from_here(request):
            return None
        text = "Only from the machine itself: set console.token in routes.yaml to see it from elsewhere.\n"
        return PlainTextResponse(text, status_code=403)
    if secrets.compare_digest(_given(request).encode(), token.encode()):
        return None
    asked = {"WWW-Authenticate": 'Basic realm="router", charset="UTF-8"'}
    return PlainTextResponse("The console's token is asked for.\n", status_code=401, headers=asked)


def _given(request: Request) -> str:
    """Return the token that comes with a request: of ``Bearer``, or the password of ``Basic``."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            return b64decode(value).decode().partition(":")[2]
        except ValueError:
            return ""
    return value.strip() if scheme.lower() == "bearer" else ""


def _is_from_here(request: Request) -> bool:
    """Tell whether this machine asks, by no proxy, and for this machine: not a site whose name leads here."""
    if request.client is None or "x-forwarded-for" in request.headers or "forwarded" in request.headers:
        return False
    asked_for = request.url.hostname or ""
    return _is_loopback(request.client.host) and (asked_for == "localhost" or _is_loopback(asked_for))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
