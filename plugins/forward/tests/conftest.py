from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from router_forward import Options

from router import Event, samples
from router.events import Transport
from router.normalize import normalize


def make_event(**body: Any) -> Event:
    """Make an event of a message, with fields of its body as given."""
    data = json.loads(samples.read("incomingMessageReceived/max-text-hidden-phone.json")) | body
    received_at = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)
    return normalize(data, id="e1", received_at=received_at, transport=Transport.WEBHOOK)


def make_options(**options: Any) -> Options:
    """Read options as the router does, which says what is wrong with them as a ValueError."""
    return msgspec.convert(
        {"url": "https://shop.example/hook", **options},
        Options,
        dec_hook=lambda kind, value: kind(value),
    )


@pytest.fixture(name="make_event")
def _make_event() -> Callable[..., Event]:
    return make_event


@pytest.fixture(name="make_options")
def _make_options() -> Callable[..., Options]:
    return make_options
