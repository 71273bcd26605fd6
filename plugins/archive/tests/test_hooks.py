from __future__ import annotations

from router_archive import Options, SqlArchive, SqlOptions, archive

from router.plugins import Wanted, load


def test_it_is_found_by_its_name_and_by_those_of_its_handlers() -> None:
    for wanted in ("archive", "archive.sql"):
        found = load(Wanted(handlers=frozenset({wanted})))

        assert (found.problems, [plugin.name for plugin in found.active]) == ([], ["archive"])
        handlers = {name: handler.call for name, handler in found.handlers.items()}
        assert handlers == {"archive": archive, "archive.sql": SqlArchive}


def test_options_are_described() -> None:
    handlers = load(Wanted(plugins=frozenset({"archive"}))).handlers

    for name, options in (("archive", Options), ("archive.sql", SqlOptions)):
        schema = handlers[name].options.schema
        assert schema is not None
        assert list(schema["properties"]) == list(options.__dataclass_fields__)
        assert all(each["description"] for each in schema["properties"].values())
