"""Every exception that the router raises on purpose.

Facts are attributes; ``__str__`` composes them into one line for a person: what was found, what
was expected, where to look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class RouterError(Exception):
    """Base of all expected errors: a command prints it in one line, without a traceback."""


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing that is wrong in ``routes.yaml``, and where."""

    #: The file, as the user named it.
    path: str
    #: 1-based; 0 where the problem has no place in the file (a file that is not there).
    line: int
    column: int
    #: What was found, what was expected, and a suggestion where there is one.
    message: str

    def __str__(self) -> str:
        place = f":{self.line}:{self.column}" if self.line else ""
        return f"{self.path}{place}: {self.message}"


class ConfigError(RouterError):
    """Raised when ``routes.yaml`` cannot be used; carries every problem found, not only the first."""

    def __init__(self, problems: Sequence[ConfigProblem]) -> None:
        assert problems, "a ConfigError names at least one problem"
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class PatternError(RouterError):
    """Raised when a ``when`` pattern has no meaning; ``path`` is the keys that lead to the place."""

    def __init__(self, path: tuple[str | int, ...], message: str) -> None:
        self.path = path
        self.message = message
        super().__init__(path, message)

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.path))}: {self.message}" if self.path else self.message


class PluginError(RouterError):
    """Raised when a plugin cannot be used; names the plugin and where it came from."""

    def __init__(self, plugin: str, origin: str, message: str) -> None:
        self.plugin = plugin
        self.origin = origin
        self.message = message
        super().__init__(plugin, origin, message)

    def __str__(self) -> str:
        return f"plugin {self.plugin!r} ({self.origin}): {self.message}"


class InboxUnavailable(RouterError):
    """Raised when the inbox cannot be read or written now; nothing was stored, trying again may help."""


class NotHandled(RouterError):
    """Raised when a handler failed and only GREEN-API still has the notification: it has to send it again."""


class InboxInUse(RouterError):
    """Raised when another process already runs a router on this inbox."""


class NotFound(RouterError):
    """Raised when a person names something that is not there: an event, a delivery, a sample, a schema."""


class WrongState(RouterError):
    """Raised when an operator asks something of a delivery that its status does not allow."""


class RetryLater(Exception):
    """Raised by a handler to be called again with the same event.

    Args:
        reason: Kept with the attempt and shown to the operator.
        after: Seconds until the next attempt; the route's retry policy decides when left out.
    """

    def __init__(self, reason: str = "", *, after: float | None = None) -> None:
        self.reason = reason
        self.after = after
        super().__init__(reason)


class GiveUp(Exception):
    """Raised by a handler to make the delivery a dead letter at once, whatever attempts are left."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        super().__init__(reason)
