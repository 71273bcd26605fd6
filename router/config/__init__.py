"""``routes.yaml`` → frozen `Config`. The only reader of YAML, and of the environment for settings.

``yaml12`` gives nodes with places, ``tree`` turns them into data and fills in references,
``structure`` and ``rules`` find what is wrong, ``build`` makes the settings, ``reader`` leads.
"""

from router.config.reader import Document, parse, read
from router.config.settings import (
    AckMode,
    AlertSettings,
    ChangedPolicy,
    Config,
    ConsoleSettings,
    DedupSettings,
    DeliverySettings,
    InboxKind,
    InboxSettings,
    Instance,
    LogFormat,
    LoggingSettings,
    Network,
    NotificationLogging,
    PluginSettings,
    RouteTest,
    WebhookSettings,
)
from router.config.structure import routes_schema

__all__ = [
    "AckMode",
    "AlertSettings",
    "ChangedPolicy",
    "Config",
    "ConsoleSettings",
    "DedupSettings",
    "DeliverySettings",
    "Document",
    "InboxKind",
    "InboxSettings",
    "Instance",
    "LogFormat",
    "LoggingSettings",
    "Network",
    "NotificationLogging",
    "PluginSettings",
    "RouteTest",
    "WebhookSettings",
    "parse",
    "read",
    "routes_schema",
]
