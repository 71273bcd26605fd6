"""For the tests of plugins."""

from router.testing.events import make_event

__all__ = ["make_event"]
