"""``/healthz``: the process answers. ``/readyz``: it can do its work; if not, why."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

#: Returns reasons why the router cannot do its work; none when it can.
Reasons = Callable[[], list[str]]


def health_routes(reasons: Reasons) -> list[Route]:
    """Return the two routes that an orchestrator asks."""

    async def healthz(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> JSONResponse:
        found = reasons()
        if found:
            return JSONResponse({"status": "not ready", "reasons": found}, status_code=503)
        return JSONResponse({"status": "ready"})

    return [Route("/healthz", healthz), Route("/readyz", readyz)]
