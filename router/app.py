"""The wiring: `build` makes the application. It decides nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from starlette.applications import Starlette
from starlette.middleware import Middleware

from router.config import ChangedPolicy, Config, InboxKind
from router.events import Transport
from router.greenapi.addresses import NETWORKS
from router.greenapi.client import GreenApi, InstanceApi
from router.health import health_routes
from router.inbox import Inbox
from router.inbox.memory import MemoryInbox
from router.inbox.sqlite.inbox import SqliteInbox
from router.intake import Intake
from router.loading import Loaded
from router.pages import page_routes
from router.pipeline import Pipeline
from router.transports.polling import Polling
from router.transports.senders import Networks
from router.transports.webhook import WebhookEndpoint, WebhookMiddleware


def build(loaded: Loaded) -> Starlette:
    """Make the application. Its lifespan opens the inbox, delivers, and stops gracefully.

    Entering the lifespan raises `InboxInUse` or `InboxUnavailable` when the inbox cannot be opened, and
    `PluginError` when a plugin that is required does not start.
    """
    config = loaded.config
    green_api = GreenApi()
    pipeline = Pipeline(loaded, make_inbox(config), green_api)
    endpoint = _webhook(config, pipeline.intake)
    polling = Polling(
        _polled(config, green_api), pipeline.intake.receive, pipeline.inbox.pollers, pipeline.presence
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with pipeline.running() as tasks:
            await tasks.start(polling.run)
            yield
            await polling.stop()

    app = Starlette(
        routes=[
            *health_routes(pipeline.problems),
            *page_routes(loaded.plugins.active, config.console.token),
        ],
        middleware=[Middleware(WebhookMiddleware, path=config.webhook.path, endpoint=endpoint)],
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # GREEN-API is not known to follow redirects
    return app


def make_inbox(config: Config) -> Inbox:
    """Return the inbox that ``inbox.url`` names, not yet opened."""
    routes = {route.name: route.concurrency for route in config.routes}
    inbox = config.inbox
    settings = _InboxSettings(
        concurrency=config.delivery.concurrency,
        dedup_window=config.dedup.window,
        deliver_changed=config.dedup.changed is ChangedPolicy.DELIVER,
    )
    if inbox.kind is InboxKind.MEMORY:
        return MemoryInbox(routes, **settings)
    if inbox.kind is InboxKind.POSTGRESQL:
        from router.inbox.postgres.inbox import PostgresInbox  # noqa: PLC0415 - most do without its driver

        assert inbox.url is not None, "an inbox in PostgreSQL has a URL"
        return PostgresInbox(inbox.url, routes, retention=inbox.retention, lease=inbox.lease, **settings)
    assert inbox.path is not None, "an inbox in SQLite has a path"
    return SqliteInbox(inbox.path, routes, retention=inbox.retention, **settings)


class _InboxSettings(TypedDict):
    concurrency: int
    dedup_window: float
    deliver_changed: bool


def _polled(config: Config, green_api: GreenApi) -> list[tuple[InstanceApi, float]]:
    """Return the instances that are polled, each with the seconds that a request is held open."""
    return [
        (green_api.instance(instance.id, instance.api_url, instance.token), instance.receive_timeout)
        for instance in config.instances
        if instance.transport is Transport.POLLING and instance.token is not None
    ]


def _webhook(config: Config, intake: Intake) -> WebhookEndpoint:
    settings = config.webhook
    return WebhookEndpoint(
        intake.receive,
        tokens=_tokens(config),
        allow=Networks([*settings.allow, *(NETWORKS if settings.allow_green_api else ())]),
        trusted_proxies=Networks(settings.trusted_proxies),
        max_body=settings.max_body,
    )


def _tokens(config: Config) -> dict[str, int | None]:
    """Return the accepted tokens, each with the instance it belongs to; a common one belongs to none."""
    own = {instance.webhook_token: instance.id for instance in config.instances if instance.webhook_token}
    return {**own, **dict.fromkeys(config.webhook.tokens)}
