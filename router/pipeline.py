"""The wiring of all that lies between a transport and the handlers; it decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import structlog
from aiohttp import ClientSession
from anyio import create_task_group
from anyio.abc import TaskGroup

from router import clock
from router.alerts import Alerts
from router.alerts.calls import channel_call
from router.alerts.channels import Channels
from router.alerts.texts import Composer
from router.config import AckMode, Config
from router.context import Services
from router.dispatch import Dispatcher, Target
from router.errors import PluginError
from router.events import AlertKind, Report
from router.greenapi.client import GreenApi, InstanceApi
from router.handlers import RouteHandler
from router.httpclient import http_client
from router.inbox import Claim, Inbox
from router.intake import Intake
from router.lifecycle import Lifecycle, tell_failed
from router.loading import Loaded
from router.presence import Presence
from router.redaction import Redactor
from router.replies import PingPong
from router.routing import Table
from router.validation import Validator

_log = structlog.get_logger("router")

#: Seconds between two alerts about the same thing, in the log.
_ALERT_EVERY = 600.0


class Pipeline:
    """Intake, inbox, dispatch and plugins of one configuration.

    Args:
        loaded: The configuration and the plugins it names.
        inbox: Not yet opened.
        green_api: Not yet entered.
    """

    def __init__(self, loaded: Loaded, inbox: Inbox, green_api: GreenApi) -> None:
        config = loaded.config
        self._loaded = loaded
        self._green_api = green_api
        self.inbox = inbox
        #: There while it runs.
        self.dispatcher: Dispatcher | None = None
        self.alerts = Alerts(_ALERT_EVERY, tell=self._tell)
        self._channels: Channels | None = None
        self.presence = Presence(
            [instance.id for instance in config.instances],
            {instance.id: instance.quiet_after for instance in config.instances if instance.quiet_after},
            self.alerts,
        )
        self.table = Table(config.routes)
        self.intake = Intake(
            inbox,
            _validator(loaded),
            self.table,
            self.alerts,
            self.presence,
            ack_deadline=config.webhook.ack_deadline if config.webhook.ack is AckMode.HANDLED else None,
            keep_unrouted=config.inbox.keep_unrouted,
        )

    def problems(self) -> list[str]:
        """Say why nothing can be taken or delivered now; empty when all is well."""
        is_running = self.dispatcher is not None and self.dispatcher.is_running
        found = [self.inbox.problem(), None if is_running else "the dispatcher does not run"]
        return [reason for reason in found if reason]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[TaskGroup]:
        """Open the inbox, start the plugins and deliver; at the end stop gracefully.

        Yields:
            Owns what else runs as long.

        Raises:
            InboxInUse: Another process runs a router on the inbox.
            InboxUnavailable: The inbox cannot be opened.
            PluginError: A plugin that is required did not start.
        """
        try:
            await self.inbox.open()
            try:
                async with (
                    self._green_api,
                    http_client() as http,
                    create_task_group() as tasks,
                    self._telling(tasks, http),
                    self._delivering(tasks, http),
                ):
                    tasks.start_soon(self.presence.run, self.inbox.store)
                    yield tasks
                    self.presence.stop()
            finally:
                await self.inbox.close()
        except BaseExceptionGroup as group:
            raise _only_error(group) from None

    @asynccontextmanager
    async def _telling(self, tasks: TaskGroup, http: ClientSession) -> AsyncIterator[None]:
        config, found = self._loaded.config, self._loaded.plugins.channels
        redact = Redactor(config.secrets)
        self._channels = Channels(
            [
                (settings, channel_call(settings, found[settings.handler], http))
                for settings in config.alerts
                if settings.handler in found
            ],
            compose=Composer(config.logging.notification.value, redact),
            redact=redact,
        )
        await tasks.start(self._channels.run)
        yield
        await self._channels.stop()

    def _tell(self, report: Report) -> None:
        if self._channels is not None:
            self._channels.tell(report)

    @asynccontextmanager
    async def _delivering(self, tasks: TaskGroup, http: ClientSession) -> AsyncIterator[None]:
        handlers = self._handlers()
        lifecycle = self._lifecycle(handlers)
        self._tell_what_is_missing()
        await lifecycle.start(http)
        self.dispatcher = self._dispatch(handlers, http)
        await tasks.start(self.dispatcher.run)
        yield
        await self.dispatcher.stop(self._loaded.config.delivery.shutdown_grace)
        await lifecycle.stop()

    def _handlers(self) -> list[RouteHandler]:
        """Return the handlers of all routes but those whose handlers are missing."""
        found = self._loaded.plugins.handlers
        routes = [route for route in self._loaded.config.routes if route.name not in self._loaded.held]
        return [RouteHandler(route, found[route.handler]) for route in routes]

    def _lifecycle(self, handlers: list[RouteHandler]) -> Lifecycle:
        return Lifecycle(
            self._loaded.plugins.active,
            handlers,
            is_optional=self._loaded.is_optional,
            hold=self.inbox.hold,
            alerts=self.alerts,
        )

    def _tell_what_is_missing(self) -> None:
        for route in sorted(self._loaded.held):
            self.inbox.hold(route)
        for error in self._loaded.failed:
            tell_failed(self.alerts, error, sorted(self._loaded.held))
        for plugin in self._loaded.plugins.active:
            _log.info(
                "plugin.loaded",
                plugin=plugin.name,
                version=plugin.version,
                origin=plugin.origin,
                hooks=list(plugin.hooks),
            )

    def _dispatch(self, handlers: list[RouteHandler], http: ClientSession) -> Dispatcher:
        config = self._loaded.config
        loop, apis = asyncio.get_running_loop(), _apis(config, self._green_api)
        ping_pong = PingPong(clock.seconds)

        def target(handler: RouteHandler) -> Target:
            plugin = handler.registered.plugin
            return Target(
                route=handler.route,
                handler=handler.call,
                is_async=handler.registered.is_async,
                plugin=str(plugin),
                options=handler.options,
                services=Services(
                    plugin=plugin.name,
                    store=self.inbox.store,
                    apis=apis,
                    ping_pong=ping_pong,
                    http=http,
                    loop=loop,
                ),
            )

        return Dispatcher(
            self.inbox,
            {handler.route.name: target(handler) for handler in handlers},
            concurrency=config.delivery.concurrency,
            redact=Redactor(config.secrets),
            on_dead=_reporting_to(self.alerts),
        )


def _validator(loaded: Loaded) -> Validator:
    plugins = loaded.plugins.active
    return Validator(
        {type_: schema for plugin in plugins for type_, schema in plugin.notifications.items()},
        {kind: schema for plugin in plugins for kind, schema in plugin.messages.items()},
    )


def _apis(config: Config, green_api: GreenApi) -> Mapping[int, InstanceApi]:
    return {
        instance.id: green_api.instance(instance.id, instance.api_url, instance.token)
        for instance in config.instances
        if instance.token is not None
    }


def _reporting_to(alerts: Alerts) -> Callable[[Claim, str], None]:
    def on_dead(claim: Claim, reason: str) -> None:
        alerts.report(AlertKind.DEAD, claim.route, delivery=claim.id, error=reason)

    return on_dead


def _only_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return a plugin's error from the groups that task groups put around it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, PluginError) else group
