"""The wiring: `build` makes the application. The one place that knows all parts; it decides nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import structlog
from anyio import create_task_group
from starlette.applications import Starlette
from starlette.middleware import Middleware

from router.alerts import AlertKind, Alerts
from router.config import AckMode, ChangedPolicy, Config, InboxKind
from router.dispatch import Dispatcher, Target
from router.events import Transport
from router.greenapi.addresses import NETWORKS
from router.greenapi.client import GreenApi, InstanceApi
from router.health import health_routes
from router.inbox import Claim, Inbox
from router.inbox.memory import MemoryInbox
from router.inbox.sqlite import SqliteInbox
from router.intake import Intake
from router.loading import Loaded
from router.plugins import RegisteredHandler
from router.presence import Presence
from router.redaction import Redactor
from router.routing import Route, Table
from router.transports.polling import Polling
from router.transports.senders import Networks
from router.transports.webhook import WebhookEndpoint, WebhookMiddleware
from router.validation import Validator

_log = structlog.get_logger("router")

#: Seconds between two alerts about the same thing, in the log.
_ALERT_EVERY = 600.0


def build(loaded: Loaded) -> Starlette:
    """Make the application. Its lifespan opens the inbox, delivers, and stops gracefully.

    Entering the lifespan raises `InboxInUse` or `InboxUnavailable` when the inbox cannot be opened.
    """
    config = loaded.config
    inbox = make_inbox(config)
    alerts = Alerts(_ALERT_EVERY)
    presence = Presence(
        [instance.id for instance in config.instances],
        {instance.id: instance.quiet_after for instance in config.instances if instance.quiet_after},
        alerts,
    )
    intake = Intake(
        inbox,
        Validator(),
        Table(config.routes),
        alerts,
        presence,
        ack_deadline=config.webhook.ack_deadline if config.webhook.ack is AckMode.HANDLED else None,
        keep_unrouted=config.inbox.keep_unrouted,
    )
    dispatcher = Dispatcher(
        inbox,
        _targets(config, loaded.plugins.handlers),
        concurrency=config.delivery.concurrency,
        redact=Redactor(config.secrets),
        on_dead=_reporting_to(alerts),
    )
    green_api = GreenApi()
    polling = Polling(_polled(config, green_api), intake.receive, presence)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await inbox.open()
        try:
            async with green_api, create_task_group() as tasks:
                await tasks.start(dispatcher.run)
                await tasks.start(polling.run)
                tasks.start_soon(presence.run)
                yield
                presence.stop()
                await polling.stop()
                await dispatcher.stop(config.delivery.shutdown_grace)
        finally:
            await inbox.close()

    app = Starlette(
        routes=health_routes(_reasons(inbox, dispatcher)),
        middleware=[
            Middleware(WebhookMiddleware, path=config.webhook.path, endpoint=_webhook(config, intake))
        ],
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # GREEN-API is not known to follow redirects
    return app


def make_inbox(config: Config) -> Inbox:
    """Return the inbox that ``inbox.url`` names, not yet opened."""
    routes = {route.name: route.concurrency for route in config.routes}
    inbox, dedup, delivery = config.inbox, config.dedup, config.delivery
    deliver_changed = dedup.changed is ChangedPolicy.DELIVER
    if inbox.kind is InboxKind.MEMORY:
        return MemoryInbox(
            routes,
            concurrency=delivery.concurrency,
            dedup_window=dedup.window,
            deliver_changed=deliver_changed,
        )
    assert inbox.path is not None, "an inbox in SQLite has a path"
    return SqliteInbox(
        inbox.path,
        routes,
        concurrency=delivery.concurrency,
        dedup_window=dedup.window,
        deliver_changed=deliver_changed,
        retention=inbox.retention,
    )


def _targets(config: Config, handlers: Mapping[str, RegisteredHandler]) -> dict[str, Target]:
    return {route.name: _target(route, handlers[route.handler]) for route in config.routes}


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


def _target(route: Route, handler: RegisteredHandler) -> Target:
    return Target(route=route, handler=handler.call, is_async=handler.is_async, plugin=str(handler.plugin))


def _tokens(config: Config) -> dict[str, int | None]:
    """Return the accepted tokens, each with the instance it belongs to; a common one belongs to none."""
    own = {instance.webhook_token: instance.id for instance in config.instances if instance.webhook_token}
    return {**own, **dict.fromkeys(config.webhook.tokens)}


def _reporting_to(alerts: Alerts) -> Callable[[Claim, str], None]:
    def on_dead(claim: Claim, reason: str) -> None:
        alerts.report(AlertKind.DEAD, claim.route, delivery=claim.id, error=reason)

    return on_dead


def _reasons(inbox: Inbox, dispatcher: Dispatcher) -> Callable[[], list[str]]:
    def reasons() -> list[str]:
        found = [inbox.problem(), None if dispatcher.is_running else "the dispatcher does not run"]
        return [reason for reason in found if reason]

    return reasons
