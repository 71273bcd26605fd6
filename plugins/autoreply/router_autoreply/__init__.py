"""Answers messages by keywords, patterns, commands, menus and working hours."""

from __future__ import annotations

from router import RegisterHandler, hookimpl
from router_autoreply.handler import Autoreply
from router_autoreply.options import Options

__all__ = ["Autoreply", "Options", "register_handlers"]


@hookimpl
def register_handlers(register: RegisterHandler) -> None:
    """Offer ``autoreply``."""
    register("autoreply", Autoreply, options=Options)
