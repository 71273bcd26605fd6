"""For the tests of plugins."""

from router.testing.events import make_event
from router.testing.recording import Failed, RecordingGreenApi, Sent

__all__ = ["Failed", "RecordingGreenApi", "Sent", "make_event"]
