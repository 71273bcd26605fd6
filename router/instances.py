"""Instances as GREEN-API has them, beside what ``routes.yaml`` needs: what is wrong, what would mend it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit, urlunsplit

from anyio import create_task_group

from router.config import Config, Instance
from router.errors import GreenApiError
from router.events import JsonObject, Transport
from router.greenapi.client import GreenApi, InstanceApi
from router.greenapi.flags import Needs, needs
from router.transports.webhook import bare_token

T = TypeVar("T")

AUTHORIZED: Final = "authorized"
_SYNC: Final = "router instances sync --apply"
_SYNC_URL: Final = "router instances sync --webhook-url URL --apply"


class NoToken(GreenApiError):
    """Raised when ``routes.yaml`` has no token of an instance, so that nothing can be asked about it."""

    advice = "set its token in routes.yaml"


class Severity(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    #: Notifications come, but something should be looked at.
    WARNING = "warning"
    #: Notifications that a route wants do not come.
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing about an instance. Each text is one line for a person, without any token."""

    instance: int
    severity: Severity
    found: str
    expected: str | None = None
    #: What to do.
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What GREEN-API says about an instance."""

    state: str
    settings: JsonObject

    def instance_data(self, instance: int) -> JsonObject:
        """Return ``instanceData`` as the instance's notifications have it."""
        known = {key: value for key, value in self.settings.items() if key in {"wid", "typeInstance"}}
        return {"idInstance": instance, **known}


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that is to be another."""

    setting: str
    found: Any
    expected: str
    #: Neither value may be shown.
    is_secret: bool = False


# Asking


async def each(
    green_api: GreenApi, instances: Sequence[Instance], ask: Callable[[Instance, InstanceApi], Awaitable[T]]
) -> list[T | GreenApiError]:
    """Ask something of all instances at once; return each one's answer, or its error, in their order."""
    answers: dict[int, T | GreenApiError] = {}

    async def ask_one(index: int, instance: Instance) -> None:
        try:
            answers[index] = await ask(instance, _api_of(green_api, instance))
        except GreenApiError as exc:
            answers[index] = exc

    async with create_task_group() as asking:
        for index, instance in enumerate(instances):
            asking.start_soon(ask_one, index, instance)
    return [answers[index] for index in range(len(instances))]


async def know(_: Instance, api: InstanceApi) -> Known:
    """Ask for state and settings; for `each`."""
    return Known(await api.get_state(), await api.get_settings())


def _api_of(green_api: GreenApi, instance: Instance) -> InstanceApi:
    if instance.token is None:
        raise NoToken(instance.id, "routes.yaml", "found no token")
    return green_api.instance(instance.id, instance.api_url, instance.token)


# Telling


def diagnose(
    config: Config, instance: Instance, known: Known | GreenApiError, webhook_url: str | None = None
) -> list[Finding]:
    """Return all there is to say about an instance; at least one finding.

    Args:
        config: Whose routes and tokens count.
        instance: Which.
        known: What GREEN-API says about it, or why it does not.
        webhook_url: The router's public address, where it is known.
    """
    if isinstance(known, GreenApiError):
        return [_unreachable(known)]
    findings = [
        *_of_state(instance, known.state),
        *_of_flags(instance, known.settings, needs(config.routes, known.instance_data(instance.id))),
        *_of_address(instance, known.settings, webhook_url),
        *_of_token(config, instance, known.settings),
    ]
    if any(finding.severity is not Severity.OK for finding in findings):
        return findings
    fine = "authorized, and sends what the routes need"
    return [Finding(instance=instance.id, severity=Severity.OK, found=fine), *findings]


def _unreachable(exc: GreenApiError) -> Finding:
    severity = Severity.WARNING if isinstance(exc, NoToken) else Severity.ERROR
    return Finding(
        instance=exc.instance,
        severity=severity,
        found=f"{exc.method}: {exc.found}",
        expected="state and settings of the instance",
        advice=exc.advice or "try again later",
    )


def _of_state(instance: Instance, state: str) -> list[Finding]:
    if state == AUTHORIZED:
        return []
    starting = state == "starting"
    return [
        Finding(
            instance=instance.id,
            severity=Severity.WARNING if starting else Severity.ERROR,
            found=f"state {state}",
            expected=f"state {AUTHORIZED}",
            advice="wait up to 5 minutes" if starting else "authorize it in GREEN-API's console",
        )
    ]


def _of_flags(instance: Instance, settings: JsonObject, flags: Needs) -> list[Finding]:
    findings = [
        _flag_finding(instance, settings, flag, routes)
        for flag, routes in flags.needed.items()
        if settings.get(flag) != "yes"
    ]
    off = [flag for flag in flags.optional if settings.get(flag) == "no"]
    if off:
        found = f"{', '.join(off)}: no; optional, since no route names votes, edits or deletions"
        findings.append(Finding(instance=instance.id, severity=Severity.OK, found=found))
    return findings


def _flag_finding(instance: Instance, settings: JsonObject, flag: str, routes: Sequence[str]) -> Finding:
    expected = f"{flag}: yes, for {'route' if len(routes) == 1 else 'routes'} {', '.join(routes)}"
    if flag in settings:
        return Finding(
            instance=instance.id,
            severity=Severity.ERROR,
            found=f"{flag}: {settings[flag]}",
            expected=expected,
            advice=_SYNC,
        )
    return Finding(
        instance=instance.id,
        severity=Severity.WARNING,
        found=f"{flag}: not among the settings of this instance",
        expected=expected,
        advice="its messenger or tariff may not have it: look in GREEN-API's console",
    )


def _of_address(instance: Instance, settings: JsonObject, webhook_url: str | None) -> list[Finding]:
    found = _text(settings, "webhookUrl")
    expected = _expected_url(instance, webhook_url)
    shown = f"webhookUrl: {_shown_url(found)}"
    if expected is None and found:
        return [Finding(instance=instance.id, severity=Severity.OK, found=shown)]
    if expected == found:
        return []
    if instance.transport is Transport.POLLING:
        why, advice = "webhookUrl: empty, since the instance is polled", _SYNC
    elif expected:
        why, advice = f"webhookUrl: {_shown_url(expected)}", _SYNC_URL
    else:
        why, advice = "webhookUrl: the public address of the router, since transport is webhook", _SYNC_URL
    return [Finding(instance=instance.id, severity=Severity.ERROR, found=shown, expected=why, advice=advice)]


def _of_token(config: Config, instance: Instance, settings: JsonObject) -> list[Finding]:
    """The token is compared where GREEN-API shows it, and a webhook is used."""
    if not _text(settings, "webhookUrl") or instance.transport is Transport.POLLING:
        return []
    if _accepts(config, instance, settings.get("webhookUrlToken")):
        return []
    is_empty = not settings["webhookUrlToken"]
    return [
        Finding(
            instance=instance.id,
            severity=Severity.ERROR,
            found=f"webhookUrlToken: {'empty' if is_empty else 'one that the router refuses'}",
            expected="webhookUrlToken: the instance's webhook_token or one of webhook.token",
            advice=_SYNC_URL,
        )
    ]


# Mending


def difference(
    config: Config, instance: Instance, known: Known, webhook_url: str | None = None
) -> list[Change]:
    """Return the settings that have to be others. A flag is never turned off.

    A flag that GREEN-API does not list for the instance is left alone.
    """
    settings = known.settings
    flags = needs(config.routes, known.instance_data(instance.id)).needed
    changes = [
        Change(flag, settings[flag], "yes") for flag in flags if flag in settings and settings[flag] != "yes"
    ]
    url = _expected_url(instance, webhook_url)
    if url is not None and url != _text(settings, "webhookUrl"):
        changes.append(Change("webhookUrl", _text(settings, "webhookUrl"), url))
    token = next(iter(_tokens(config, instance)), None)
    found = settings.get("webhookUrlToken")
    if url and token and not _accepts(config, instance, found):
        changes.append(Change("webhookUrlToken", found, token, is_secret=True))
    return changes


async def apply(api: InstanceApi, changes: Sequence[Change]) -> None:
    """Set them. GREEN-API restarts the instance, which may take 5 minutes.

    Raises:
        GreenApiError: They were not set, or there is no telling.
    """
    await api.set_settings({change.setting: change.expected for change in changes})


def shown(change: Change) -> tuple[str, str]:
    """Return what a setting is and what it should be, as a person may see it."""
    if change.is_secret:
        return "empty" if not change.found else "[another]", "[the router's]"
    if change.setting == "webhookUrl":
        return _shown_url(change.found), _shown_url(change.expected)
    return str(change.found), change.expected


def _expected_url(instance: Instance, webhook_url: str | None) -> str | None:
    """Return what ``webhookUrl`` should be; ``None``: nobody said."""
    return "" if instance.transport is Transport.POLLING else webhook_url


def _tokens(config: Config, instance: Instance) -> list[str]:
    own = [instance.webhook_token] if instance.webhook_token else []
    return [*own, *config.webhook.tokens]


def _accepts(config: Config, instance: Instance, token: object) -> bool:
    """Whether the webhook takes a ``webhookUrlToken``; one that GREEN-API does not show is not judged."""
    tokens = _tokens(config, instance)
    if not tokens or not isinstance(token, str):
        return True
    return bare_token(token.encode("utf-8", "replace")) in {bare_token(each.encode()) for each in tokens}


def _text(settings: JsonObject, name: str) -> str:
    value = settings.get(name)
    return value if isinstance(value, str) else ""


def _shown_url(url: str) -> str:
    """Return an address without what may be secret in it: user, password and query."""
    if not url:
        return "empty"
    try:
        parts = urlsplit(url)
    except ValueError:
        return "no URL"
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))
