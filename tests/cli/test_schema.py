from __future__ import annotations

import pytest

from router import schemas
from router.config import routes_schema
from tests.cli.conftest import Command


def test_schemas_are_listed(router: Command) -> None:
    ended = router("schema", "--json")
    assert (ended.code, ended.json[0]) == (0, {"name": "routes", "describes": "routes.yaml"})
    assert {row["name"] for row in ended.json if row["describes"] == "typeWebhook"} == set(
        schemas.notification_types()
    )
    assert {row["name"] for row in ended.json if row["describes"] == "typeMessage"} == set(
        schemas.message_types()
    )


def test_each_listed_schema_can_be_shown(router: Command) -> None:
    for row in router("schema", "--json").json:
        ended = router("schema", row["name"])
        assert (ended.code, ended.json["$schema"]) == (0, "https://json-schema.org/draft/2020-12/schema")


def test_the_schema_of_routes_yaml_is_shown(router: Command) -> None:
    assert router("schema", "routes").json == routes_schema()


@pytest.mark.parametrize("name", ["nope", "", "../common", "common"])
def test_what_is_no_schema_is_a_problem(router: Command, name: str) -> None:
    ended = router("schema", name)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == f"no schema is named {name!r}; it is a typeWebhook or a typeMessage\n"
