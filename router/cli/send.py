"""``router send``: post a notification to a running router, as GREEN-API would."""

from __future__ import annotations

import os
import uuid
from http.client import HTTPException
from pathlib import Path
from typing import Annotated
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import typer

from router.cli.notifications import read_notification
from router.cli.options import ConfigOption, JsonOption
from router.cli.output import show_json
from router.config import Config, read
from router.errors import RouterError
from router.events import Problem
from router.jsontext import dump, parse
from router.transports.webhook import bare_token

_DEFAULT_ADDRESS = "http://127.0.0.1:8080"
#: Seconds to wait for the answer.
_PATIENCE = 30.0


class NoAnswer(RouterError):
    """Raised when nothing answers at the address a notification is sent to."""


def send(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A file, the name of a sample, or - for standard input.")
    ],
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="URL", help="Where to; by default, the router on this machine."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Give it a new idMessage, so that it is no duplicate.")
    ] = False,
    config: ConfigOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Send a notification to a running router and show its answer."""
    settings = None if to is not None and not config.exists() else read(config, os.environ).config()
    body = read_notification(file)
    url = _own_address(settings) if to is None else to
    status, answer = _post(url, _token(settings), _fresh(body) if fresh else body)
    content = parse(answer)
    if as_json:
        show_json({"http_status": status, **(content if isinstance(content, dict) else {})})
    else:
        typer.echo(f"{status} {answer.decode('utf-8', 'replace')}")
    if status != 200:
        raise typer.Exit(1)


def _own_address(settings: Config | None) -> str:
    assert settings is not None, "without --to the configuration was read"
    return f"{_DEFAULT_ADDRESS}{settings.webhook.path}"


def _token(settings: Config | None) -> str | None:
    """Return a token that the router takes, if it asks for any."""
    if settings is None:
        return None
    own = [instance.webhook_token for instance in settings.instances if instance.webhook_token]
    return next(iter([*settings.webhook.tokens, *own]), None)


def _fresh(body: bytes) -> bytes:
    data = parse(body)
    if isinstance(data, Problem):
        return body
    return dump({**data, "idMessage": uuid.uuid4().hex.upper()}).encode()


def _post(url: str, token: str | None, body: bytes) -> tuple[int, bytes]:
    """Post a body; return the status and the body of the answer, whatever the status.

    Raises:
        NoAnswer: The URL is none, or nobody answers there.
    """
    if not url.startswith(("http://", "https://")):
        raise NoAnswer(f"{url}: expected a URL such as {_DEFAULT_ADDRESS}/webhook")
    headers = {"Content-Type": "application/json; charset=utf-8"}
    if token:
        # http.client writes Latin-1; a token may be anything.
        headers["Authorization"] = (b"Bearer " + bare_token(token.encode())).decode("latin-1")
    try:
        request = Request(url, data=body, headers=headers, method="POST")  # noqa: S310 - the scheme was checked
        with urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310
            return answer.status, answer.read()
    except HTTPError as exc:
        return exc.code, exc.read()
    except (OSError, HTTPException, ValueError) as exc:
        reason = getattr(exc, "reason", exc)
        raise NoAnswer(f"{url}: no answer: {reason}; is 'router serve' running there?") from None
