"""Sends alerts through apprise: Telegram, Slack, e-mail and some 170 other services."""

from __future__ import annotations

from router import RegisterAlertChannel, hookimpl
from router_apprise.channel import Channel
from router_apprise.options import Options

__all__ = ["Channel", "Options"]


@hookimpl
def register_alert_channels(register: RegisterAlertChannel) -> None:
    """Offer ``apprise``."""
    register("apprise", Channel().send, options=Options)
