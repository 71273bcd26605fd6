"""Every exception that the router raises on purpose.

Facts are attributes; ``__str__`` composes them into one line for a person: what was found, what
was expected, where to look.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


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


class OptionsError(RouterError):
    """Raised when a handler describes its options in a way that nobody can check."""


class ArgumentsError(RouterError):
    """Raised when a function asks for an argument that it cannot be given."""


class InboxUnavailable(RouterError):
    """Raised when the inbox cannot be read or written now; nothing was stored, trying again may help."""


class NotHandled(RouterError):
    """Raised when a handler failed and only GREEN-API still has the notification: it has to send it again."""


class InboxInUse(RouterError):
    """Raised when another process already runs a router on this inbox."""


class NotFound(RouterError):
    """Raised when a person names something that is not there: an event, a delivery, a sample, a schema."""


class NotMade(RouterError):
    """Raised when the package of a new plugin cannot be made: name, event or folder are no good."""


class WrongState(RouterError):
    """Raised when an operator asks something of a delivery that its status does not allow."""


class GreenApiError(RouterError):
    """Base of what GREEN-API's HTTP API may answer instead of what it was asked.

    Each class is a situation; ``advice`` says what to do about it. The token, which is part of every
    URL, is in none of the texts.
    """

    #: What a person can do about it; empty where waiting is all there is.
    advice: ClassVar[str] = ""
    #: Whether it usually passes by itself within moments.
    may_pass: ClassVar[bool] = False

    def __init__(self, instance: int, method: str, found: str, *, status: int | None = None) -> None:
        self.instance = instance
        self.method = method
        #: What came, in a few words.
        self.found = found
        #: Status of the answer; ``None`` where none came.
        self.status = status
        super().__init__(instance, method, found)

    @property
    def may_be_done(self) -> bool:
        """Whether GREEN-API may have done what it was asked, in spite of this error."""
        return False

    def __str__(self) -> str:
        advice = f"; {self.advice}" if self.advice else ""
        return f"instance {self.instance}: {self.method}: {self.found}{advice}"


class NoAnswer(GreenApiError):
    """Raised when no answer came, or only part of one."""

    may_pass = True

    def __init__(self, instance: int, method: str, found: str, *, was_sent: bool) -> None:
        super().__init__(instance, method, found)
        #: Whether GREEN-API may have got the request, and done what it was asked.
        self.was_sent = was_sent

    @property
    def may_be_done(self) -> bool:
        """See `GreenApiError.may_be_done`."""
        return self.was_sent


class ServerError(GreenApiError):
    """Raised for 499 and 5xx: GREEN-API failed, or a proxy before it, or it does not do what it says."""

    may_pass = True

    @property
    def may_be_done(self) -> bool:
        """See `GreenApiError.may_be_done`; 503 is said by what does not take requests now."""
        return self.status != 503


class BadAnswer(GreenApiError):
    """Raised when what came is not what the method answers: HTML, broken JSON, a redirect."""

    may_pass = True
    advice = "look whether api_url leads to GREEN-API"

    @property
    def may_be_done(self) -> bool:
        """See `GreenApiError.may_be_done`."""
        return True


class RateLimited(GreenApiError):
    """Raised for 429: too many requests in a second. Nothing was done."""

    may_pass = True

    def __init__(
        self, instance: int, method: str, found: str, *, status: int, retry_after: float | None = None
    ) -> None:
        super().__init__(instance, method, found, status=status)
        #: Seconds that GREEN-API asks to wait, if it says so.
        self.retry_after = retry_after


class QuotaExceeded(GreenApiError):
    """Raised for 466 and 469: the tariff of the instance allows no more."""

    advice = "look at the instance's tariff in GREEN-API's console"


class Unauthorized(GreenApiError):
    """Raised for 401 and 403: the id, the token or the host is wrong, or the account is suspended."""

    advice = "compare id, token and api_url with the instance's page in GREEN-API's console"


class UnknownInstance(GreenApiError):
    """Raised for 404: this host does not serve the instance, or not this method."""

    advice = "compare id and api_url with the instance's page in GREEN-API's console"


class InstanceNotReady(GreenApiError):
    """Raised when the instance is not authorized in its messenger, or starts just now."""

    advice = "if it is not authorized, authorize it in GREEN-API's console"


class InstanceGone(GreenApiError):
    """Raised when the instance was deleted, or its tariff has run out."""

    advice = "look at the instance in GREEN-API's console"


class WebhookUrlIsSet(GreenApiError):
    """Raised when notifications are asked for that GREEN-API posts to a ``webhookUrl``."""

    advice = "clear webhookUrl in its settings (router instances sync), or receive by webhook"


class BadRequest(GreenApiError):
    """Raised for any other refusal, with GREEN-API's own reason."""


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


class NoApi(GiveUp):
    """Raised when a handler needs GREEN-API's methods, and ``routes.yaml`` has no token of the instance."""

    def __init__(self, instance: int | None) -> None:
        #: ``idInstance``; ``None``: the event names none.
        self.instance = instance
        if instance is None:
            super().__init__("the event names no instance, so there is none whose methods could be called")
        else:
            super().__init__(
                f"routes.yaml has no token of instance {instance}: expected it in instances, with its token"
            )


class SendInDoubt(GiveUp):
    """Raised when a request was sent to GREEN-API and nobody knows whether it was done.

    It is not sent again until a person has looked whether it arrived.
    """

    def __init__(self, delivery: int, key: str, method: str, found: str) -> None:
        self.delivery = delivery
        #: As the outbox has it: that of `Context.send_once`, or ``reply/N``.
        self.key = key
        self.method = method
        #: What happened, in a few words.
        self.found = found
        named = f"{delivery} {shlex.quote(key)}"
        super().__init__(
            f"{method} of delivery {delivery}, key {key!r}, is in doubt: {found}; look whether it arrived. "
            f"If so: router outbox sent {named}; if not: router outbox again {named}; "
            f"then: router dead retry {delivery}"
        )
