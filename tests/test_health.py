from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx2
import pytest
from starlette.applications import Starlette

from router.health import health_routes


@dataclass
class Router:
    """Has reasons not to be ready, or none."""

    reasons: list[str] = field(default_factory=list)

    def problems(self) -> list[str]:
        return self.reasons


@pytest.fixture
def router() -> Router:
    return Router()


@pytest.fixture
async def client(router: Router) -> AsyncIterator[httpx2.AsyncClient]:
    app = Starlette(routes=health_routes(router.problems))
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://router"
    ) as client:
        yield client


async def test_a_router_without_problems_is_alive_and_ready(client: httpx2.AsyncClient) -> None:
    alive, ready = await client.get("/healthz"), await client.get("/readyz")
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})


async def test_a_router_that_cannot_work_says_why_and_is_alive_all_the_same(
    client: httpx2.AsyncClient, router: Router
) -> None:
    router.reasons = ["inbox x.db: disk is full", "the dispatcher does not run"]
    alive, ready = await client.get("/healthz"), await client.get("/readyz")
    assert alive.status_code == 200
    assert (ready.status_code, ready.json()) == (
        503,
        {"status": "not ready", "reasons": ["inbox x.db: disk is full", "the dispatcher does not run"]},
    )


async def test_it_is_ready_again_once_the_problem_is_gone(client: httpx2.AsyncClient, router: Router) -> None:
    router.reasons = ["inbox x.db: disk is full"]
    await client.get("/readyz")
    router.reasons = []
    assert (await client.get("/readyz")).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_probe_may_ask_for_the_head_only_and_nothing_can_be_sent(
    client: httpx2.AsyncClient, path: str
) -> None:
    head, post = await client.head(path), await client.post(path)
    assert (head.status_code, head.content, post.status_code) == (200, b"", 405)
