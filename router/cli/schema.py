"""``router schema``: the JSON Schemas of notifications and of routes.yaml."""

from __future__ import annotations

from typing import Annotated

import typer

from router import schemas
from router.cli.options import JsonOption
from router.cli.output import show_json, show_rows
from router.config import routes_schema

#: The name of the schema of ``routes.yaml``.
ROUTES = "routes"


def schema(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="'routes', a typeWebhook or a typeMessage.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a JSON Schema, or list those there are."""
    if name is not None:
        show_json(routes_schema() if name == ROUTES else schemas.get(name))
        return
    rows = [
        {"name": ROUTES, "describes": "routes.yaml"},
        *({"name": each, "describes": "typeWebhook"} for each in sorted(schemas.notification_types())),
        *({"name": each, "describes": "typeMessage"} for each in sorted(schemas.message_types())),
    ]
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, ["name", "describes"], "no schemas")
