"""The hooks a plugin may implement, and the shapes of what it offers.

Hooks run when the router starts and stops. Events never travel through them: the router calls each
handler itself, once per delivery, so that one handler's failure concerns nobody else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import pluggy
import structlog

from router.options import Described

if TYPE_CHECKING:  # a plugin that uses none of these need not wait for their imports
    from aiohttp import ClientSession
    from starlette.requests import Request
    from starlette.responses import Response

#: The name under which pluggy knows us.
PROJECT = "router"
#: Counts up when a hook is added or gains an argument. None is ever taken away.
VERSION: Final = 2

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Logger = structlog.typing.FilteringBoundLogger

#: ``async def``, or ``def``, which runs in a thread, with arguments it asks for by name; or a class of such.
#: It returns for done, or raises `RetryLater` or `GiveUp`; anything else it raises is a failed attempt.
Handler = Callable[..., Any]
#: ``async def``, or ``def``, which runs in a thread; takes any of ``alert``, ``options``, ``logger`` and
#: ``http`` (which a ``def`` cannot) by name. It returns for sent. What it raises means that it is called
#: again with the same `Alert`, later: `RetryLater` may say when, and `GiveUp` means never.
AlertChannel = Callable[..., Any]
#: A function whose parameters typer reads, or a ``typer.Typer``.
Command = Callable[..., Any]
#: Answers one HTTP request; ``def`` runs in a thread.
Endpoint = Callable[["Request"], "Response | Awaitable[Response]"]


class RegisterHandler(Protocol):
    """What `register_handlers` is given."""

    def __call__(self, name: str, handler: Handler, *, options: Described | None = None) -> None:
        """Offer ``handler`` to ``routes.yaml`` under ``name``.

        Args:
            name: What a route's ``handler:`` says.
            handler: Called for each delivery with what it asks for: ``event``, ``context``, ``options``,
                ``delivery``, ``logger``, ``api``, ``state``, ``http``. Of a class each route has one object.
            options: What the route's ``options`` may be: a JSON Schema, a dataclass or a TypedDict; any
                object will do when left out.
        """


class RegisterSchema(Protocol):
    """What `register_schemas` is given."""

    def __call__(
        self,
        name: str,
        schema: Mapping[str, Any],
        *,
        kind: Literal["notification", "message"] = "notification",
    ) -> None:
        """Describe notifications that the router does not know, or describe some better.

        Args:
            name: A ``typeWebhook``, or with ``kind="message"`` a ``typeMessage``.
            schema: JSON Schema (draft 2020-12) of the whole notification, or of its ``messageData``;
                complete in itself. It takes the place of the one of that name that comes with the router.
            kind: Which of the two it is.
        """


class RegisterAlertChannel(Protocol):
    """What `register_alert_channels` is given."""

    def __call__(self, name: str, channel: AlertChannel, *, options: Described | None = None) -> None:
        """Offer ``channel`` to ``routes.yaml`` under ``name``.

        Args:
            name: What an alert's ``handler:`` says.
            channel: Called with what it asks for by name: ``alert``, ``options``, ``logger``, ``http``. It
                returns for sent; what it raises makes the router try again.
            options: As those of a handler.
        """


class RegisterCommand(Protocol):
    """What `register_commands` is given."""

    def __call__(self, name: str, command: Command) -> None:
        """Offer ``router PLUGIN NAME``.

        Args:
            name: The command's name.
            command: A function whose parameters and docstring typer reads, or a ``typer.Typer``.
        """


class RegisterPage(Protocol):
    """What `register_pages` is given."""

    def __call__(
        self, path: str, endpoint: Endpoint, *, methods: Sequence[str] = ("GET",), public: bool = False
    ) -> None:
        """Serve ``/plugins/PLUGIN`` + ``path``.

        Args:
            path: Begins with ``/``; may have parameters, as Starlette's routes have: ``/files/{name}``.
            endpoint: Is given Starlette's ``Request`` and returns a ``Response``.
            methods: Of HTTP.
            public: Anyone may ask; otherwise it takes the console's token, or without one an address of
                this machine.
        """


@dataclass(frozen=True, slots=True)
class PluginRoute:
    """A route that names one of the plugin's handlers."""

    name: str
    handler: str
    #: As the handler gets them.
    options: Any


class PluginTasks(Protocol):
    """What of a plugin runs beside its handlers, until the router stops."""

    def start_soon(self, func: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """Run an async function. What it raises is told with the plugin's name, and ends only itself."""


@hookspec
def register_handlers(register: RegisterHandler) -> None:
    """Offer handlers that ``routes.yaml`` may name. Called once at start-up, before anything is received."""


@hookspec
def register_schemas(register: RegisterSchema) -> None:
    """Offer JSON Schemas of notifications and messages: of new ones, or better ones."""


@hookspec
def register_alert_channels(register: RegisterAlertChannel) -> None:
    """Offer ways to tell the operator, which ``alerts`` of ``routes.yaml`` may name."""


@hookspec
def register_commands(register: RegisterCommand) -> None:
    """Offer commands: ``router PLUGIN NAME``. Called when one is used, without a ``routes.yaml``."""


@hookspec
def register_pages(register: RegisterPage) -> None:
    """Offer HTTP pages, below ``/plugins/PLUGIN``."""


@hookspec
async def startup(
    tasks: PluginTasks, routes: Sequence[PluginRoute], http: ClientSession, logger: Logger
) -> None:
    """Begin what runs as long as the router. Called and awaited before the first delivery.

    What it raises keeps the router from starting, unless ``routes.yaml`` says ``required: false``.
    """


@hookspec
async def shutdown(logger: Logger) -> None:
    """End what `startup` began. Called and awaited after the last delivery; it has a few seconds."""


def hook_names() -> list[str]:
    """Return the names of all hooks."""
    return [name for name, value in globals().items() if getattr(value, f"{PROJECT}_spec", None)]


def plugin_logger(plugin: str) -> Logger:
    """Return a logger whose lines carry the plugin's name."""
    logger: Logger = structlog.get_logger(f"plugin.{plugin}", plugin=plugin)
    return logger
