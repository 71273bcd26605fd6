"""``router instances``: the accounts as GREEN-API has them, and what the routes need of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import anyio
import typer

from router import operations
from router.backfill import Backfill, FillStatus, Missing
from router.cli.options import ConfigOption, InstanceOption, JsonOption
from router.cli.output import show_json, show_rows
from router.config import Config, Instance, read
from router.errors import GreenApiError, NotFound
from router.events import JsonObject
from router.greenapi.client import GreenApi, InstanceApi
from router.instances import Change, Finding, Known, Severity, apply, diagnose, difference, each, know, shown
from router.routing import Table
from router.validation import Validator

app = typer.Typer(help="Look at the instances of routes.yaml as GREEN-API has them.", no_args_is_help=True)

_COLUMNS = ["id", "api_url", "transport", "token", "webhook_token"]
_FINDING_COLUMNS = ["instance", "status", "finding", "expected", "advice"]
_CHANGE_COLUMNS = ["instance", "setting", "found", "expected", "status", "error"]
_MESSAGE_COLUMNS = ["instance", "sent_at", "chat", "id_message", "message_type", "status", "event", "error"]
_DAY = 1440


def _address(value: str | None) -> str | None:
    if value is not None and not value.startswith(("https://", "http://")):
        raise typer.BadParameter("expected an address such as https://router.example.com/webhook")
    return value


WebhookUrlOption = Annotated[
    str | None,
    typer.Option(
        "--webhook-url",
        metavar="URL",
        callback=_address,
        help="The public address of this router's webhook.",
    ),
]


@app.command("list")
def list_instances(config: ConfigOption = Path(), as_json: JsonOption = False) -> None:
    """List the instances of routes.yaml; GREEN-API is not asked."""
    rows = [_instance_json(instance) for instance in read(config, os.environ).config().instances]
    _show(rows, _COLUMNS, "routes.yaml lists no instances", as_json=as_json)


@app.command()
def doctor(
    instance: InstanceOption = None,
    webhook_url: WebhookUrlOption = None,
    audit: Annotated[
        bool, typer.Option("--audit", help="Instead, list messages of GREEN-API's journal that never came.")
    ] = False,
    backfill: Annotated[
        bool, typer.Option("--backfill", help="Like --audit, and feed those messages into the inbox.")
    ] = False,
    minutes: Annotated[
        int, typer.Option("--minutes", min=1, help="How far back --audit and --backfill look.")
    ] = _DAY,
    config: ConfigOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Say of each instance what keeps notifications from coming."""
    settings = read(config, os.environ).config()
    chosen = _chosen(settings, instance)
    if audit or backfill:
        _audit(settings, chosen, minutes, feed=backfill, as_json=as_json)
        return
    findings = anyio.run(_diagnose, settings, chosen, webhook_url)
    rows = [_finding_json(finding) for finding in findings]
    _show(rows, _FINDING_COLUMNS, "routes.yaml lists no instances", as_json=as_json)
    if any(finding.severity is Severity.ERROR for finding in findings):
        raise typer.Exit(1)


@app.command()
def sync(
    instance: InstanceOption = None,
    webhook_url: WebhookUrlOption = None,
    is_applied: Annotated[
        bool, typer.Option("--apply", help="Set them. GREEN-API restarts the instance: up to 5 minutes.")
    ] = False,
    config: ConfigOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Show the settings that have to change for the routes to get what they need."""
    settings = read(config, os.environ).config()
    rows = anyio.run(_sync, settings, _chosen(settings, instance), webhook_url, is_applied)
    _show(rows, _CHANGE_COLUMNS, "nothing to change", as_json=as_json)
    restarted = sorted({row["instance"] for row in rows if row["status"] == "applied"})
    if restarted:
        _warn(f"GREEN-API restarts {_named(restarted)}: it takes up to 5 minutes until this applies")
    elif any(row["status"] == "differs" for row in rows):
        _warn("nothing was changed: --apply sets this, and GREEN-API restarts the instance, up to 5 minutes")
    if any(row["status"] != "applied" for row in rows):
        raise typer.Exit(1)


def _chosen(config: Config, id_: int | None) -> list[Instance]:
    found = [instance for instance in config.instances if id_ in {None, instance.id}]
    if not found and id_ is not None:
        listed = ", ".join(str(instance.id) for instance in config.instances) or "none"
        raise NotFound(f"{config.path} lists no instance {id_}; it lists {listed}")
    return found


# doctor


async def _diagnose(config: Config, instances: Sequence[Instance], webhook_url: str | None) -> list[Finding]:
    async with GreenApi() as green_api:
        answers = await each(green_api, instances, know)
    return [
        finding
        for instance, known in zip(instances, answers, strict=True)
        for finding in diagnose(config, instance, known, webhook_url)
    ]


# sync


async def _sync(
    config: Config, instances: Sequence[Instance], webhook_url: str | None, is_applied: bool
) -> list[JsonObject]:
    async def sync_one(instance: Instance, api: InstanceApi) -> list[JsonObject]:
        changes = difference(config, instance, await know(instance, api), webhook_url)
        if not is_applied or not changes:
            return [_change_json(instance.id, change, "differs") for change in changes]
        try:
            await apply(api, changes)
        except GreenApiError as exc:
            return [_change_json(instance.id, change, "failed", _told(exc)) for change in changes]
        return [_change_json(instance.id, change, "applied") for change in changes]

    async with GreenApi() as green_api:
        answers = await each(green_api, instances, sync_one)
    rows: list[JsonObject] = []
    for answer in answers:
        rows += [_failed_json(answer, _CHANGE_COLUMNS)] if isinstance(answer, GreenApiError) else answer
    return rows


# doctor --audit, --backfill


def _audit(config: Config, instances: Sequence[Instance], minutes: int, *, feed: bool, as_json: bool) -> None:
    if minutes * 60 > config.inbox.retention:
        kept = int(config.inbox.retention // 60)
        raise typer.BadParameter(f"--minutes {minutes}: the inbox keeps events for {kept} minutes")
    with operations.ledger_of(config) as ledger:
        # First the journal, then the inbox: what comes in between is in both.
        journals = anyio.run(_journals, instances, minutes)
        work = Backfill(ledger, Validator(), Table(config.routes))
        rows: list[JsonObject] = []
        for instance, journal in zip(instances, journals, strict=True):
            if isinstance(journal, GreenApiError):
                rows.append(_failed_json(journal, _MESSAGE_COLUMNS))
                continue
            missing = work.missing(instance, journal[0].instance_data(instance.id), journal[1], minutes)
            rows += map(_message_json, work.feed(missing) if feed else missing)
    _show(rows, _MESSAGE_COLUMNS, "nothing is missing", as_json=as_json)
    if any(row["status"] not in {FillStatus.STORED, FillStatus.CAME} for row in rows):
        raise typer.Exit(1)


async def _journals(
    instances: Sequence[Instance], minutes: int
) -> list[tuple[Known, list[JsonObject]] | GreenApiError]:
    async def ask(instance: Instance, api: InstanceApi) -> tuple[Known, list[JsonObject]]:
        return await know(instance, api), await api.last_incoming_messages(minutes)

    async with GreenApi() as green_api:
        return await each(green_api, instances, ask)


# Showing


def _instance_json(instance: Instance) -> JsonObject:
    return {
        "id": instance.id,
        "api_url": instance.api_url,
        "transport": instance.transport.value,
        "token": instance.token is not None,
        "webhook_token": instance.webhook_token is not None,
    }


def _finding_json(finding: Finding) -> JsonObject:
    return {
        "instance": finding.instance,
        "status": finding.severity.value,
        "finding": finding.found,
        "expected": finding.expected,
        "advice": finding.advice,
    }


def _change_json(instance: int, change: Change, status: str, error: str | None = None) -> JsonObject:
    found, expected = shown(change)
    return {
        "instance": instance,
        "setting": change.setting,
        "found": found,
        "expected": expected,
        "status": status,
        "error": error,
    }


def _failed_json(exc: GreenApiError, keys: Sequence[str]) -> JsonObject:
    return {**dict.fromkeys(keys), "instance": exc.instance, "status": "failed", "error": _told(exc)}


def _message_json(missing: Missing) -> JsonObject:
    event, problem = missing.event, next(iter(missing.problems), None)
    sent_at = None if event.timestamp is None else datetime.fromtimestamp(event.timestamp, UTC).isoformat()
    return {
        "instance": event.instance,
        "sent_at": sent_at,
        "chat": event.chat,
        "id_message": event.id_message,
        "message_type": event.message_type,
        "status": missing.status.value,
        "event": missing.stored_as,
        "error": f"{problem.path}: {problem.message}" if problem else None,
    }


def _told(exc: GreenApiError) -> str:
    return f"{exc.method}: {exc.found}" + (f"; {exc.advice}" if exc.advice else "")


def _named(instances: Sequence[int]) -> str:
    return f"{'instance' if len(instances) == 1 else 'instances'} {', '.join(map(str, instances))}"


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


def _show(rows: Sequence[JsonObject], columns: Sequence[str], nothing: str, *, as_json: bool) -> None:
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, columns, nothing)
