"""Pages of plugins: who may see them, and that they concern nobody but their plugin."""

from __future__ import annotations

import asyncio
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx2
import pytest
import uvicorn
from anyio import fail_after
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from router import hookimpl, plugins
from router.containment import contain_tasks, current_plugin
from router.pages import page_routes
from router.plugins import Wanted
from tests.conftest import Log

LOCAL = ("127.0.0.1", 4711)
TOKEN = "s€cret"


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


class Pages:
    """A plugin ``shop`` with one page, or more."""

    def __init__(self, endpoint: Callable[..., Any] = hello, path: str = "/page", **settings: Any) -> None:
        self.offered = [(path, endpoint, settings)]

    @hookimpl
    def register_pages(self, register: Any) -> None:
        for path, endpoint, settings in self.offered:
            register(path, endpoint, **settings)


Pages.__name__ = "shop"


def application(*pages: Pages, token: str | None = None) -> Starlette:
    found = plugins.load(Wanted(), None, pages)
    assert not found.problems, found.problems
    app = Starlette(routes=page_routes(found.active, token))
    app.router.redirect_slashes = False
    return app


@asynccontextmanager
async def client(
    *pages: Pages, token: str | None = None, of: tuple[str, int] = LOCAL, url: str = "http://127.0.0.1:8080"
) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=application(*pages, token=token), client=of)
    with fail_after(10):
        async with httpx2.AsyncClient(transport=transport, base_url=url) as client:
            yield client


async def get(page: Pages, path: str = "/plugins/shop/page", **settings: Any) -> httpx2.Response:
    headers = settings.pop("headers", {})
    async with client(page, **settings) as asking:
        return await asking.get(path, headers=headers)


@pytest.fixture
async def contained() -> AsyncIterator[None]:
    """Contain tasks, as a running router does."""
    loop = asyncio.get_running_loop()
    contain_tasks(loop)
    yield
    loop.set_task_factory(None)


# What is served


async def test_a_page_is_served_below_its_plugins_name() -> None:
    answer = await get(Pages())
    assert (answer.status_code, answer.text) == (200, "hello")


@pytest.mark.parametrize(
    "path", ["/page", "/plugins/page", "/plugins/shop", "/plugins/shop/", "/plugins/shop/other", "/plugins/x"]
)
async def test_nothing_is_served_elsewhere(path: str) -> None:
    assert (await get(Pages(), path)).status_code == 404


async def test_a_path_may_have_parameters() -> None:
    async def file(request: Request) -> Response:
        return JSONResponse([request.path_params, dict(request.query_params)])

    answer = await get(Pages(file, "/files/{number:int}/{name:path}"), "/plugins/shop/files/7/a/b.txt?q=1")
    assert answer.json() == [{"number": 7, "name": "a/b.txt"}, {"q": "1"}]


async def test_a_page_that_is_def_runs_in_a_thread() -> None:
    threads: list[threading.Thread] = []

    def page(request: Request) -> Response:
        threads.append(threading.current_thread())
        return PlainTextResponse("made")

    answer = await get(Pages(page))
    assert answer.text == "made"
    assert threads != [threading.current_thread()]


async def test_what_returns_an_awaitable_is_awaited() -> None:
    def page(request: Request) -> Any:
        return hello(request)

    assert (await get(Pages(page))).text == "hello"
    assert (await get(Pages(partial(hello)))).text == "hello"


async def test_a_page_takes_the_methods_it_registers() -> None:
    async def page(request: Request) -> Response:
        return PlainTextResponse(f"{request.method} {(await request.body()).decode()}")

    async with client(Pages(page, methods=["POST", "DELETE"])) as asking:
        answers = [
            await asking.request(method, "/plugins/shop/page", content=b"body")
            for method in ("GET", "POST", "DELETE")
        ]
    assert [answer.status_code for answer in answers] == [405, 200, 200]
    assert answers[1].text == "POST body"


async def test_a_page_may_answer_with_an_http_exception(log: Log) -> None:
    async def page(request: Request) -> Response:
        raise HTTPException(409, "taken")

    answer = await get(Pages(page))
    assert (answer.status_code, answer.text) == (409, "taken")
    assert log.named("plugin.page_failed") == []


async def test_a_long_answer_is_streamed() -> None:
    async def parts() -> AsyncIterator[str]:
        for part in "abc":
            yield part

    async def page(request: Request) -> Response:
        return StreamingResponse(parts())

    assert (await get(Pages(page))).text == "abc"


# What is no page

REFUSED: dict[str, tuple[Pages, str]] = {
    "no slash": (Pages(path="page"), "registers page 'page', which does not begin with '/'"),
    "parameter not closed": (Pages(path="/{a:what}"), "which is no path: Unknown path convertor 'what'"),
    "parameter twice": (Pages(path="/{a}/{a}"), "which is no path: Duplicated param name a"),
    "methods are a text": (Pages(methods="GET"), "has methods 'GET': expected a list of names"),
    "no methods": (Pages(methods=()), "has methods (): expected a list of names"),
    "nothing": (Pages(None), "registers page '/page', which is None and cannot be called"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("page", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_served_is_told_at_the_start(page: Pages, message: str) -> None:
    (problem,) = plugins.load(Wanted(), None, [page]).problems
    assert problem.plugin == "shop"
    assert message in problem.message


def test_one_path_cannot_be_registered_twice() -> None:
    page = Pages()
    page.offered *= 2
    (problem,) = plugins.load(Wanted(), None, [page]).problems
    assert problem.message == "registers page '/page' twice"


# What fails


class Odd(BaseException):
    """An exception that is no `Exception`."""


RAISED = {
    "Exception": (ValueError("the password"), "ValueError: the password"),
    "SystemExit": (SystemExit(3), "SystemExit: 3"),
    "KeyboardInterrupt": (KeyboardInterrupt(), "KeyboardInterrupt"),
    "BaseException": (Odd("no"), "Odd: no"),
    "CancelledError": (asyncio.CancelledError("no"), "CancelledError"),
}


@pytest.mark.parametrize("is_async", [True, False], ids=["async def", "def"])
@pytest.mark.parametrize(("exception", "told"), RAISED.values(), ids=RAISED.keys())
async def test_what_a_page_raises_is_in_the_log_and_not_in_the_answer(
    log: Log, exception: BaseException, told: str, is_async: bool
) -> None:
    async def page(request: Request) -> Response:
        raise exception

    def plain(request: Request) -> Response:
        raise exception

    answer = await get(Pages(page if is_async else plain))
    assert (answer.status_code, answer.text) == (500, "The plugin shop failed: see the log.\n")
    (failed,) = log.named("plugin.page_failed")
    assert (failed["level"], failed["plugin"], failed["path"]) == ("ERROR", "shop", "/page")
    assert told in failed["error"]
    assert "Traceback" in failed["exception"]


@pytest.mark.parametrize("returned", [None, "text", {"a": 1}, Response])
async def test_what_is_no_response_is_named(log: Log, returned: object) -> None:
    async def page(request: Request) -> Any:
        return returned

    assert (await get(Pages(page))).status_code == 500
    (failed,) = log.named("plugin.page_failed")
    assert f"TypeError: expected a Response, found {type(returned).__name__}" in failed["error"]


async def test_a_page_that_takes_no_request_is_named(log: Log) -> None:
    assert (await get(Pages(lambda: None))).status_code == 500
    assert [record["plugin"] for record in log.named("plugin.page_failed")] == ["shop"]


@pytest.mark.parametrize(
    "exception", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), Odd("no")], ids=repr
)
async def test_what_fails_while_it_is_sent_is_named(
    log: Log, contained: None, exception: BaseException
) -> None:
    async def parts() -> AsyncIterator[str]:
        yield "a"
        raise exception

    async def page(request: Request) -> Response:
        return StreamingResponse(parts())

    with pytest.raises(AssertionError):  # the answer that has begun has no end
        await get(Pages(page))
    (failed,) = log.named("plugin.page_failed")
    assert (failed["plugin"], failed["path"]) == ("shop", "/page")


async def test_a_page_that_fails_concerns_no_other(log: Log) -> None:
    async def bad(request: Request) -> Response:
        raise SystemExit(3)

    page = Pages(bad, "/bad")
    page.offered.append(("/good", hello, {}))
    async with client(page) as asking:
        statuses = [
            (await asking.get(f"/plugins/shop/{name}")).status_code for name in ("bad", "good", "bad")
        ]
    assert statuses == [500, 200, 500]


async def test_def_pages_that_hang_leave_the_pages_of_others_alone() -> None:
    class Other(Pages):
        pass

    left = threading.Event()

    def hang(request: Request) -> Response:
        left.wait()
        return PlainTextResponse("left")

    def good(request: Request) -> Response:
        return PlainTextResponse("good")

    async with client(Pages(hang), Other(good)) as asking:
        hanging = [asyncio.create_task(asking.get("/plugins/shop/page")) for _ in range(100)]
        answer = await asking.get("/plugins/Other/page")
        left.set()
        await asyncio.gather(*hanging)
    assert answer.text == "good"


async def test_what_a_page_leaves_behind_is_the_plugins(log: Log, contained: None) -> None:
    left: list[asyncio.Task[Any]] = []

    async def exits() -> None:
        raise SystemExit(3)

    async def page(request: Request) -> Response:
        left.append(asyncio.create_task(exits()))
        return PlainTextResponse("begun")

    answer = await get(Pages(page))
    (result,) = await asyncio.gather(*left, return_exceptions=True)
    assert (answer.text, type(result), current_plugin.get()) == ("begun", RuntimeError, None)
    (exit_,) = log.named("plugin.task_exit")
    assert (exit_["plugin"], exit_["error"]) == ("shop", "SystemExit: 3")


# Who may see them: with the console's token


def basic(password: str | bytes, user: str = "any") -> str:
    password = password.encode() if isinstance(password, str) else password
    return f"Basic {b64encode(user.encode() + b':' + password).decode()}"


GIVEN: dict[str, tuple[bytes | str | None, int]] = {
    "bearer": (f"Bearer {TOKEN}".encode(), 200),
    "bearer in capitals": (f"BEARER {TOKEN}".encode(), 200),
    "basic": (basic(TOKEN), 200),
    "basic without a user": (basic(TOKEN, ""), 200),
    "nothing": (None, 401),
    "empty": ("", 401),
    "bare": (TOKEN.encode(), 401),
    "bearer, wrong": ("Bearer secret", 401),
    "bearer, empty": ("Bearer ", 401),
    "bearer, a part": (b"Bearer s", 401),
    "bearer, and more": (f"Bearer {TOKEN}x".encode(), 401),
    "basic, wrong": (basic("secret"), 401),
    "basic, as the user": (basic("", TOKEN), 401),
    "basic, no base64": ("Basic ###", 401),
    "basic, no ASCII": (b"Basic \xff\xfe", 401),
    "basic, no UTF-8": (basic(b"\xff"), 401),
    "basic, no colon": (f"Basic {b64encode(TOKEN.encode()).decode()}", 401),
    "another scheme": (b"Digest " + TOKEN.encode(), 401),
}


@pytest.mark.parametrize(("given", "status"), GIVEN.values(), ids=GIVEN.keys())
async def test_with_a_token_it_takes_the_token(given: bytes | str | None, status: int) -> None:
    answer = await get(
        Pages(), token=TOKEN, of=("203.0.113.7", 1), headers={} if given is None else {"Authorization": given}
    )
    assert answer.status_code == status
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert ("hello" in answer.text) == (status == 200)


async def test_with_a_token_this_machine_has_to_give_it_too() -> None:
    assert (await get(Pages(), token=TOKEN)).status_code == 401


async def test_what_comes_in_a_refused_request_does_not_reach_the_page() -> None:
    called: list[Request] = []

    async def page(request: Request) -> Response:
        called.append(request)
        return PlainTextResponse("")

    await get(Pages(page), token=TOKEN)
    assert called == []


# Without one: from this machine

FROM_HERE: dict[str, tuple[tuple[str, int], str, Mapping[str, str], int]] = {
    "127.0.0.1": (LOCAL, "127.0.0.1:8080", {}, 200),
    "127.0.0.2": (("127.0.0.2", 1), "127.0.0.1:8080", {}, 200),
    "::1": (("::1", 1), "[::1]:8080", {}, 200),
    "localhost": (LOCAL, "localhost:8080", {}, 200),
    "localhost without a port": (LOCAL, "localhost", {}, 200),
    "from elsewhere": (("203.0.113.7", 1), "127.0.0.1:8080", {}, 403),
    "from the same network": (("192.168.0.7", 1), "127.0.0.1:8080", {}, 403),
    "by a socket without an address": (("", 0), "127.0.0.1", {}, 403),
    "a site whose name leads here": (LOCAL, "evil.example:8080", {}, 403),
    "a name that looks like it": (LOCAL, "localhost.evil.example", {}, 403),
    "an address in a name": (LOCAL, "127.0.0.1.evil.example", {}, 403),
    "a user that looks like it": (LOCAL, "localhost@evil.example", {}, 403),
    "a host that is none": (LOCAL, "[", {}, 403),
    "no host": (LOCAL, "", {}, 403),
    "X-Forwarded-For": (LOCAL, "localhost", {"X-Forwarded-For": "127.0.0.1"}, 403),
    "X-Forwarded-Host": (LOCAL, "localhost", {"X-Forwarded-Host": "evil.example"}, 403),
    "X-Forwarded-Proto": (LOCAL, "localhost", {"X-Forwarded-Proto": "https"}, 403),
    "X-Real-IP": (LOCAL, "localhost", {"X-Real-IP": "203.0.113.7"}, 403),
    "Forwarded": (LOCAL, "localhost", {"Forwarded": "for=203.0.113.7"}, 403),
    "Via": (LOCAL, "localhost", {"Via": "1.1 proxy"}, 403),
}


@pytest.mark.parametrize(("of", "host", "headers", "status"), FROM_HERE.values(), ids=FROM_HERE.keys())
async def test_without_a_token_only_this_machine_is_answered(
    of: tuple[str, int], host: str, headers: Mapping[str, str], status: int
) -> None:
    answer = await get(Pages(), of=of, headers={**headers, "Host": host})
    assert answer.status_code == status
    assert ("console.token" in answer.text) == (status == 403)


async def test_a_public_page_is_for_anyone() -> None:
    answer = await get(
        Pages(public=True), token=TOKEN, of=("203.0.113.7", 1), headers={"Host": "evil.example"}
    )
    assert answer.text == "hello"


# A site that a browser shows beside: it may look, and get nothing to see, but not do anything

ASKED: dict[str, tuple[str, Mapping[str, str], int]] = {
    "no browser": ("POST", {}, 200),
    "our page": ("POST", {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8080"}, 200),
    "our page, by a proxy that changes the host": (
        "POST",
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://console.example"},
        200,
    ),
    "our page, old browser": ("POST", {"Origin": "http://127.0.0.1:8080"}, 200),
    "another site": ("POST", {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403),
    "another port": ("POST", {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:3000"}, 403),
    "another site, old browser": ("POST", {"Origin": "https://evil.example"}, 403),
    "a file": ("POST", {"Origin": "null"}, 403),
    "a link": ("GET", {"Sec-Fetch-Site": "cross-site"}, 200),
}


@pytest.mark.parametrize("token", [None, TOKEN], ids=["without a token", "with the token"])
@pytest.mark.parametrize(("method", "headers", "status"), ASKED.values(), ids=ASKED.keys())
async def test_the_page_of_another_site_cannot_do_anything(
    method: str, headers: Mapping[str, str], status: int, token: str | None
) -> None:
    async with client(Pages(methods=["GET", "POST"]), token=token) as asking:
        given = {"Authorization": basic(TOKEN), **headers}
        answer = await asking.request(method, "/plugins/shop/page", headers=given)
    assert answer.status_code == status


async def test_a_public_page_takes_what_other_sites_post() -> None:
    async with client(Pages(methods=["POST"], public=True)) as asking:
        answer = await asking.post("/plugins/shop/page", headers={"Origin": "https://other.example"})
    assert answer.status_code == 200


# A real server


async def test_a_real_server_answers_and_goes_on_after_a_page_that_exits(log: Log) -> None:
    async def bad(request: Request) -> Response:
        raise SystemExit(3)

    page = Pages(bad, "/bad")
    page.offered.append(("/good", hello, {}))
    config = uvicorn.Config(application(page), port=0, log_config=None, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    with fail_after(10):
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx2.AsyncClient(base_url=f"http://localhost:{port}/plugins/shop") as asking:
            answers = [await asking.get(path) for path in ("/bad", "/good")]
            foreign = await asking.get("/good", headers={"Host": "evil.example"})
        server.should_exit = True
        await serving
    assert [answer.status_code for answer in [*answers, foreign]] == [500, 200, 403]
    assert [record["plugin"] for record in log.named("plugin.page_failed")] == ["shop"]
