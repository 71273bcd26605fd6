"""What is known of a plugin that was found: who it is, which hooks it implements, what it offers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pluggy import PluginManager

from router.arguments import Arguments
from router.events import JsonObject
from router.options import Options


@dataclass(frozen=True, slots=True)
class RegisteredHandler:
    """A handler that a plugin offers."""

    name: str
    #: A function, an object that can be called, or a class of such objects.
    call: Callable[..., Any]
    #: It is ``async def``; otherwise it runs in a thread.
    is_async: bool
    #: What it is called with.
    arguments: Arguments
    #: What an object of the class is made with; ``None`` where it is no class.
    made_with: Arguments | None
    options: Options
    plugin: Plugin


@dataclass(frozen=True, slots=True)
class RegisteredChannel:
    """An alert channel that a plugin offers."""

    name: str
    call: Callable[..., Any]
    #: It is ``async def``; otherwise it runs in a thread.
    is_async: bool
    #: What it is called with.
    arguments: Arguments
    options: Options
    plugin: Plugin


@dataclass(frozen=True, slots=True)
class Page:
    """An HTTP page that a plugin offers."""

    #: Below ``/plugins/PLUGIN``.
    path: str
    endpoint: Callable[..., Any]
    methods: Sequence[str]
    #: Anyone may ask for it.
    public: bool
    plugin: Plugin


@dataclass(frozen=True, slots=True, eq=False)
class Plugin:
    """A plugin that was found."""

    name: str
    #: Version of its distribution; ``None`` for a file of ``plugins_dir``.
    version: str | None
    #: Where it comes from: a distribution, or a file.
    origin: str
    #: Calls its hooks.
    manager: PluginManager = field(repr=False)
    #: The hooks it implements.
    hooks: tuple[str, ...] = ()
    handlers: dict[str, RegisteredHandler] = field(default_factory=dict, repr=False)
    channels: dict[str, RegisteredChannel] = field(default_factory=dict, repr=False)
    #: By ``typeWebhook`` and by ``typeMessage``; filled when the plugin is active, as are its pages.
    notifications: dict[str, JsonObject] = field(default_factory=dict, repr=False)
    messages: dict[str, JsonObject] = field(default_factory=dict, repr=False)
    pages: list[Page] = field(default_factory=list, repr=False)

    def __str__(self) -> str:
        return f"{self.name} {self.version}" if self.version else f"{self.name} ({self.origin})"
