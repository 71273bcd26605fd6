"""Misbehaviour on request: named faults, each with how likely it is; the same ones for the same seed."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from router.errors import RouterError
from router.events import JsonObject
from router.greenapi.simulator.answers import Answer, Instead, nginx

#: What may go wrong → what that is.
FAULTS = {
    "duplicate": "a notification comes twice",
    "malformed": "half of a notification's JSON comes",
    "missing_field": "a field of a notification is missing",
    "unknown_type": "a notification has a type that nobody knows",
    "slow": "an answer takes up to 30 s",
    "broken": "the connection ends in the middle of an answer",
    "error": "two to ten answers in a row are 500, 502 or 503",
    "empty": "receiveNotification answers at once, and nothing",
}
_ERRORS = {500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Temporarily Unavailable"}
_SLOWEST = 30.0


class UnknownFault(RouterError):
    """Raised when there is no fault of that name, or its probability is none."""


class Faults:
    """What goes wrong with one instance.

    Args:
        probabilities: From 0 to 1, of some names in ``FAULTS``.
        seed: Decides what goes wrong when.
        speed: GREEN-API's seconds in one of ours.

    Raises:
        UnknownFault: A name is not in ``FAULTS``, or a probability is not from 0 to 1.
    """

    def __init__(self, probabilities: Mapping[str, float], seed: str, speed: float) -> None:
        check(probabilities)
        self._probabilities = probabilities
        self._speed = speed
        # Of its own, so that what happens does not depend on how often somebody asks for it.
        self._of_notifications = Random(f"notifications {seed}")
        self._of_answers = Random(f"answers {seed}")
        self._errors = 0

    def bodies(self, body: JsonObject) -> list[JsonObject]:
        """Return what goes to the queue where one notification should."""
        random = self._of_notifications
        if self._hits("missing_field", random):
            body = _without_a_field(body, random)
        if self._hits("unknown_type", random):
            body = {**body, "typeWebhook": "neverHeardOf"}
        return [body] * (2 if self._hits("duplicate", random) else 1)

    def tears(self) -> bool:
        """Tell whether only half of a notification is posted."""
        return self._hits("malformed", self._of_answers)

    def instead(self, method: str) -> Instead | None:
        """Return what happens to an answer."""
        if not self._probabilities:
            return None
        random = self._of_answers
        receives = method == "receiveNotification"
        if self._errors or self._hits("error", random):
            return Instead(self._error(random))
        if receives and self._hits("empty", random):
            return Instead(Answer())
        return Instead(
            delay=random.uniform(1, _SLOWEST) / self._speed if self._hits("slow", random) else 0.0,
            is_torn=receives and self._hits("malformed", random),
            is_cut=self._hits("broken", random),
        )

    def _error(self, random: Random) -> Answer:
        self._errors = self._errors - 1 if self._errors else random.randint(1, 9)
        return nginx(*random.choice(list(_ERRORS.items())))

    def _hits(self, name: str, random: Random) -> bool:
        probability = self._probabilities.get(name)
        return bool(probability) and random.random() < (probability or 0.0)


def check(probabilities: Mapping[str, float]) -> None:
    """Check names and probabilities.

    Raises:
        UnknownFault: A name is not in ``FAULTS``, or a probability is not from 0 to 1.
    """
    for name, probability in probabilities.items():
        if name not in FAULTS:
            raise UnknownFault(f"no fault is named {name!r}; faults are {', '.join(FAULTS)}")
        if not 0 <= probability <= 1:
            raise UnknownFault(f"fault {name}: probability {probability:g}; expected 0 to 1")


def _without_a_field(body: JsonObject, random: Random) -> JsonObject:
    """Return a notification without one of its fields, on top or one level below."""
    paths = [(name,) for name in body]
    below = [(name, inner) for name, value in body.items() if isinstance(value, dict) for inner in value]
    path = random.choice([*paths, *below])
    if len(path) == 1:
        return {name: value for name, value in body.items() if name != path[0]}
    outer = body[path[0]]
    return {**body, path[0]: {name: value for name, value in outer.items() if name != path[1]}}
