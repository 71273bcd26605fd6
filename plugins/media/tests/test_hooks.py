from __future__ import annotations

from router_media import Media, Options

from router.plugins import Wanted, load


def test_it_is_found_by_its_name() -> None:
    found = load(Wanted(handlers=frozenset({"media"})))

    assert (found.problems, [plugin.name for plugin in found.active]) == ([], ["media"])
    handler = found.handlers["media"]
    assert handler.call is Media
    assert [page.path for page in found.active[0].pages] == ["/", "/files/{route}/{path:path}"]
    assert handler.options.schema is not None
    assert list(handler.options.schema["properties"]) == list(Options.__dataclass_fields__)
