"""What the hooks of a plugin are given to register with: it checks what is offered, and keeps it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, Final, Literal

from router.arguments import Arguments, asked_for
from router.errors import ArgumentsError, OptionsError, PluginError
from router.options import Described, Options, describe
from router.plugins.plugin import Page, Plugin, RegisteredChannel, RegisteredHandler
from router.validation import problem_of_schema

#: What a handler may ask for; ``http`` only where it is ``async def``.
HANDLER_ARGUMENTS: Final = ("event", "context", "options", "delivery", "logger", "api", "state", "http")
#: What a class of handlers may ask for when an object of it is made.
CLASS_ARGUMENTS: Final = ("options", "logger", "http", "route")
#: What an alert channel may ask for.
CHANNEL_ARGUMENTS: Final = ("alert", "options", "logger", "http")

Register = Callable[..., None]


def handlers_of(plugin: Plugin) -> Register:
    """Return what `register_handlers` of the plugin is given."""

    def register(name: str, handler: Callable[..., Any], *, options: Described | None = None) -> None:
        refuse = _refusal(plugin, "handler", name, plugin.handlers)
        is_class = inspect.isclass(handler)
        call: Callable[..., Any] = attrgetter("__call__")(handler) if is_class else handler
        _check_callable(call, handler, refuse)
        is_async = _is_async(call)
        arguments = _arguments(partial(call, None) if is_class else call, HANDLER_ARGUMENTS, refuse)
        _check_http(arguments, is_async, refuse)
        plugin.handlers[name] = RegisteredHandler(
            name=name,
            call=handler,
            is_async=is_async,
            arguments=arguments,
            made_with=_arguments(handler, CLASS_ARGUMENTS, refuse) if is_class else None,
            options=_options(options, refuse),
            plugin=plugin,
        )

    return register


def channels_of(plugin: Plugin) -> Register:
    """Return what `register_alert_channels` of the plugin is given."""

    def register(name: str, channel: Callable[..., Any], *, options: Described | None = None) -> None:
        refuse = _refusal(plugin, "alert channel", name, plugin.channels)
        _check_callable(channel, channel, refuse)
        is_async = _is_async(channel)
        arguments = _arguments(channel, CHANNEL_ARGUMENTS, refuse)
        _check_http(arguments, is_async, refuse)
        described = _options(options, refuse)
        plugin.channels[name] = RegisteredChannel(name, channel, is_async, arguments, described, plugin)

    return register


def schemas_of(plugin: Plugin) -> Register:
    """Return what `register_schemas` of the plugin is given."""

    def register(
        name: str,
        schema: Mapping[str, Any],
        *,
        kind: Literal["notification", "message"] = "notification",
    ) -> None:
        if kind not in ("notification", "message"):
            message = f"registers schema {name!r} with kind {kind!r}: expected 'notification' or 'message'"
            raise PluginError(plugin.name, plugin.origin, message)
        kept = plugin.notifications if kind == "notification" else plugin.messages
        refuse = _refusal(plugin, "schema", name, kept)
        if problem := problem_of_schema(schema):
            raise refuse(f"is of no use: {problem}")
        kept[name] = dict(schema)

    return register


def pages_of(plugin: Plugin) -> Register:
    """Return what `register_pages` of the plugin is given."""

    def register(
        path: str, endpoint: Callable[..., Any], *, methods: Sequence[str] = ("GET",), public: bool = False
    ) -> None:
        refuse = _refusal(plugin, "page", path, [page.path for page in plugin.pages])
        if not path.startswith("/"):
            raise refuse("does not begin with '/'")
        if isinstance(methods, str) or not methods:
            raise refuse(f"has methods {methods!r}: expected a list of names, such as ['GET', 'POST']")
        _check_path(path, refuse)
        _check_callable(endpoint, endpoint, refuse)
        plugin.pages.append(Page(path, endpoint, tuple(methods), public, plugin))

    return register


def commands_of(plugin: Plugin, commands: dict[str, Callable[..., Any]]) -> Register:
    """Return what `register_commands` of the plugin is given, which keeps commands in ``commands``."""

    def register(name: str, command: Callable[..., Any]) -> None:
        refuse = _refusal(plugin, "command", name, commands)
        _check_callable(command, command, refuse)
        commands[name] = command

    return register


Refuse = Callable[[str], PluginError]


def _refusal(plugin: Plugin, what: str, name: object, taken: Iterable[str]) -> Refuse:
    """Return what makes an error about the offer of that name; raise one if the name itself will not do."""

    def refuse(message: str) -> PluginError:
        return PluginError(plugin.name, plugin.origin, f"registers {what} {name!r}, which {message}")

    if not isinstance(name, str) or not name:
        message = f"registers a {what} named {name!r}: a name is a text that is not empty"
        raise PluginError(plugin.name, plugin.origin, message)
    if name in taken:
        raise PluginError(plugin.name, plugin.origin, f"registers {what} {name!r} twice")
    return refuse


def _check_callable(call: object, offered: object, refuse: Refuse) -> None:
    if not callable(call) or (inspect.isclass(offered) and "__call__" not in _own(offered)):
        raise refuse(f"is {offered!r} and cannot be called")
    if inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call):
        raise refuse("is a generator and does nothing when called: it has a yield")


def _check_path(path: str, refuse: Refuse) -> None:
    from starlette.routing import compile_path  # noqa: PLC0415 - only few plugins have pages: it takes long

    try:
        compile_path(path)
    except (ValueError, AssertionError) as exc:
        raise refuse(f"is no path: {exc}") from exc


def _own(cls: type) -> set[str]:
    """Return the names that objects of the class have, without those that every class has from ``type``."""
    return {name for base in cls.__mro__ for name in vars(base)}


def _arguments(call: Callable[..., Any], known: Sequence[str], refuse: Refuse) -> Arguments:
    try:
        return asked_for(call, known)
    except ArgumentsError as exc:
        raise refuse(str(exc)) from exc


def _check_http(arguments: Arguments, is_async: bool, refuse: Refuse) -> None:
    if "http" in arguments.names and not is_async:
        raise refuse("asks for 'http', which only an async def can use")


def _options(options: Described | None, refuse: Refuse) -> Options:
    try:
        return describe(options)
    except OptionsError as exc:
        raise refuse(f"describes options that cannot be checked: {exc}") from exc


def _is_async(call: Callable[..., Any]) -> bool:
    while isinstance(call, partial):
        call = call.func
    return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(
        getattr(call, "__call__", None)  # noqa: B004 - whether its __call__ is async, not whether it has one
    )
