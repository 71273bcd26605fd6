"""Finding plugins, and what they offer. With `router.hookspecs` the only importer of pluggy.

``candidates`` says where plugins are, ``loading`` imports one and calls its hooks, ``offers`` checks what
it registers there, ``search`` finds those that ``routes.yaml`` needs, ``plugin`` holds what is known of one.
"""

from router.plugins.loading import commands
from router.plugins.plugin import Page, Plugin, RegisteredChannel, RegisteredHandler
from router.plugins.search import Plugins, Wanted, load, load_all, load_named

__all__ = [
    "Page",
    "Plugin",
    "Plugins",
    "RegisteredChannel",
    "RegisteredHandler",
    "Wanted",
    "commands",
    "load",
    "load_all",
    "load_named",
]
