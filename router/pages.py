"""HTTP pages of plugins, below ``/plugins/NAME``: for the operator, or for anyone where a plugin says so."""

from __future__ import annotations

import asyncio
import inspect
import secrets
from base64 import b64decode
from collections.abc import Coroutine, Sequence
from functools import partial
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Receive, Scope, Send

from router.containment import begin_task
from router.plugins import Page, Plugin
from router.plugins.loading import told
from router.threads import Threads

T = TypeVar("T")

_log = structlog.get_logger("router.plugins")

#: Threads of a plugin's pages that are ``def``: those that hang hold up its own pages only.
_THREADS = 4
#: What a proxy adds to what it passes on.
_OF_PROXIES = {"forwarded", "via", "x-real-ip"}
#: Methods of requests that only look.
_SAFE = {"GET", "HEAD", "OPTIONS"}


def page_routes(plugins: Sequence[Plugin], console_token: str | None) -> list[BaseRoute]:
    """Return the routes of all pages.

    Args:
        plugins: Those in use.
        console_token: What a page that is not public asks for; ``None``: an address of this machine.
    """
    return [Mount(f"/plugins/{plugin.name}", routes=_routes(plugin, console_token)) for plugin in plugins]


def _routes(plugin: Plugin, token: str | None) -> list[BaseRoute]:
    threads = Threads(f"pages-{plugin.name}", _THREADS)
    return [
        Route(page.path, _Served(page, token, threads), methods=list(page.methods)) for page in plugin.pages
    ]


class _Served:
    """A page, as an application of ASGI: what it raises is named, also while its answer is sent."""

    def __init__(self, page: Page, token: str | None, threads: Threads) -> None:
        self._page = page
        self._token = token
        self._threads = threads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        answer = None if self._page.public else _refusal(request, self._token)
        answer = answer or await self._contained(self._answer(request)) or self._failed()
        await self._contained(answer(scope, receive, send))

    async def _contained(self, doing: Coroutine[Any, Any, T]) -> T | None:
        """Do something of the page, in a task of the plugin's; tell what it raises."""
        task = begin_task(self._page.plugin.name, _outcome(doing))
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
        result, error = (None, asyncio.CancelledError()) if task.cancelled() else task.result()
        if isinstance(error, HTTPException):
            raise error
        if error is not None:
            self._tell(error)
        return result

    async def _answer(self, request: Request) -> Response:
        endpoint = self._page.endpoint
        if inspect.iscoroutinefunction(endpoint):
            result = await endpoint(request)
        else:
            result = await (await self._threads.begin(partial(endpoint, request)))
        answer: object = await result if inspect.isawaitable(result) else result
        if not isinstance(answer, Response):
            raise TypeError(f"expected a Response, found {type(answer).__name__}")
        return answer

    def _tell(self, error: BaseException) -> None:
        facts = {"plugin": self._page.plugin.name, "path": self._page.path, "error": told(error)}
        _log.error("plugin.page_failed", **facts, exc_info=error)

    def _failed(self) -> Response:
        text = f"The plugin {self._page.plugin.name} failed: see the log.\n"
        return PlainTextResponse(text, status_code=500)


async def _outcome(doing: Coroutine[Any, Any, T]) -> tuple[T | None, BaseException | None]:
    """Return a result, or whatever was raised instead: it is its plugin's and nobody else's."""
    try:
        return await doing, None
    except BaseException as exc:
        return None, exc


def _refusal(request: Request, token: str | None) -> Response | None:
    """Return how somebody is refused who may not see the operator's pages."""
    if token is None and not _is_from_here(request):
        text = "Only from the machine itself: set console.token in routes.yaml to see it from elsewhere.\n"
        return PlainTextResponse(text, status_code=403)
    if token is not None and not secrets.compare_digest(_given(request), token.encode()):
        asked = {"WWW-Authenticate": 'Basic realm="router", charset="UTF-8"'}
        return PlainTextResponse("The console's token is asked for.\n", status_code=401, headers=asked)
    if request.method not in _SAFE and _is_of_another_site(request):
        return PlainTextResponse("Another site's page asks for this.\n", status_code=403)
    return None


def _given(request: Request) -> bytes:
    """Return the token that comes with a request: of ``Bearer``, or the password of ``Basic``."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    given = value.strip().encode("latin-1")
    if scheme.lower() == "basic":
        try:
            return b64decode(given).partition(b":")[2]
        except ValueError:
            return b""
    return given if scheme.lower() == "bearer" else b""


def _is_from_here(request: Request) -> bool:
    """Tell whether this machine asks, by no proxy, and for this machine: not a site whose name leads here."""
    by_proxy = any(name in _OF_PROXIES or name.startswith("x-forwarded-") for name in request.headers)
    if request.client is None or by_proxy:
        return False
    asked_for = _host(f"//{request.headers.get('host', '')}")
    return _is_loopback(request.client.host) and (asked_for == "localhost" or _is_loopback(asked_for))


def _is_of_another_site(request: Request) -> bool:
    """Tell whether a browser says that a page of another site asks, with what the browser knows of us."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = request.headers.get("origin")
    return origin is not None and origin.partition("//")[2] != request.headers.get("host")


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
