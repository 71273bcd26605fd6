"""The HTTP API: a request to the method it names, and the method's answer, or what is given instead of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from router.events import JsonObject, Problem
from router.greenapi.methods import find
from router.greenapi.simulator import managing, reading, receiving, sending
from router.greenapi.simulator.account import Account
from router.greenapi.simulator.answers import Answer, Answers, Instead, Refused, nginx, refused, torn
from router.greenapi.simulator.call import Call, Method
from router.jsontext import parse

_METHODS: dict[str, Method] = {
    **receiving.METHODS,
    **managing.METHODS,
    **sending.METHODS,
    **reading.METHODS,
}
#: /waInstance{id}/{method}/{token}[/{receiptId}]; MAX has /v3 before it.
_PATH = re.compile(r"(?:/v3)?/waInstance([0-9]{1,20})/(\w+)/([^/]+)(?:/([^/]*))?/?")
_NOT_FOUND = nginx(404, "Not Found")
_WRONG_VERB = nginx(405, "Not Allowed")
_TOO_MANY = nginx(429, "Too Many Requests")
_WRONG_TOKEN = Answer(401)
#: Bytes of a file that can be uploaded.
_LARGEST = 100 << 20


class Api:
    """Serves the instances; give ``handle`` to ``aiohttp.web.Server``."""

    def __init__(self, accounts: Mapping[int, Account], answers: Answers) -> None:
        self._accounts = accounts
        self._answers = answers

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        found = _PATH.fullmatch(request.path)
        account = self._accounts.get(int(found[1])) if found else None
        if account is None or found is None:
            return _response(_NOT_FOUND)
        name, token, last = found[2], found[3], found[4] or ""
        if token != account.token:
            return _response(_WRONG_TOKEN)
        instead = self._answers.take(name, account.id) or account.faults.instead(name)
        if instead is None:
            return _response(await _carry_out(account, name, last, request))
        return await self._instead(instead, account, name, last, request)

    async def _instead(
        self, instead: Instead, account: Account, name: str, last: str, request: web.BaseRequest
    ) -> web.StreamResponse:
        answer = instead.answer or await _carry_out(account, name, last, request)
        if instead.delay:
            await asyncio.sleep(instead.delay)
        if instead.is_cut:
            return await _cut(answer, request)
        return _response(torn(answer) if instead.is_torn else answer)


async def _carry_out(account: Account, name: str, last: str, request: web.BaseRequest) -> Answer:
    method = _METHODS.get(name)
    if method is None:
        return _NOT_FOUND
    if request.method != find(name).verb:
        return _WRONG_VERB
    if not account.rates.allow(name):
        return _TOO_MANY
    try:
        arguments = await _arguments(request) if request.method == "POST" else {}
        return await method(account, _call(name, last, request, arguments))
    except Refused as exc:
        return exc.answer


def _call(name: str, last: str, request: web.BaseRequest, arguments: JsonObject) -> Call:
    caller = f"{request.remote} ({request.headers.get('User-Agent', 'no user agent')})"
    return Call(name, last, request.query, arguments, caller, f"http://{request.host}")


async def _arguments(request: web.BaseRequest) -> JsonObject:
    """Return the JSON object of a body, or the fields of a form.

    Raises:
        Refused: It is neither.
    """
    if request.content_type == "multipart/form-data":
        form = await request.post()
        return {name: _field(value) for name, value in form.items()}
    body = await request.read()
    found = parse(body) if body else {}
    if isinstance(found, Problem):
        raise refused("bad request data")
    return found


def _field(value: Any) -> Any:
    """Return a field of a form; of a file its name and its length in bytes."""
    if isinstance(value, web.FileField):
        return {"name": value.filename, "size": len(value.file.read())}
    return value


def request_of(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    """Make the request that aiohttp has read; one with a file may be large."""
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=_LARGEST)


def _response(answer: Answer) -> web.Response:
    return web.Response(body=answer.body, status=answer.status, headers={"Content-Type": answer.content_type})


async def _cut(answer: Answer, request: web.BaseRequest) -> web.StreamResponse:
    """Send half of the body and end the connection."""
    response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
    response.content_length = max(len(answer.body), 2)
    await response.prepare(request)
    await response.write(answer.body[: len(answer.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
