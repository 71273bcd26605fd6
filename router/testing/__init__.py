"""For the tests of plugins: events, a router that runs in the test, and a GREEN-API that records."""

from router.testing.clock import Clock
from router.testing.events import make_event
from router.testing.harness import RouterHarness, StartRouter
from router.testing.recording import Failed, RecordingGreenApi, Sent

__all__ = ["Clock", "Failed", "RecordingGreenApi", "RouterHarness", "Sent", "StartRouter", "make_event"]
