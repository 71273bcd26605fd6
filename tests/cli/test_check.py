from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import CALL, ROUTES_YAML, Command

BAD = """version: 1
plugins_dir: plugins
retries: 5
webhook: {token: "${NOWHERE}"}
routes:
  - {name: calls, type: incomingCall, handler: kep}
  - {name: calls, type: incomingCall, handler: keep, timeout: soon}
"""


def test_a_configuration_without_problems_is_summed_up(router: Command, folder: Path) -> None:
    ended = router("check")
    plugin = f"shop ({folder / 'plugins' / 'shop.py'})".replace(f"{folder}/", "")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"routes.yaml: no problems. Routes: 2. Plugins: {plugin}.\n"


def test_a_configuration_without_problems_has_none_as_json(router: Command) -> None:
    ended = router("check", "--json")
    assert (ended.code, ended.json) == (0, [])


def test_every_problem_is_shown_at_once_where_it_is(router: Command, folder: Path) -> None:
    (folder / "routes.yaml").write_text(BAD)
    (folder / "plugins" / "broken.py").write_text("raise RuntimeError('no licence')")
    ended = router("check")
    assert (ended.code, ended.out) == (1, "")
    places = [line.partition(": ")[0] for line in ended.err.splitlines()]
    assert places == [
        "routes.yaml:3:1",
        "routes.yaml:4:18",
        "routes.yaml:6:48",
        "routes.yaml:7:12",
        "routes.yaml:7:63",
        "plugins/broken.py",
    ]
    assert "did you mean 'keep'?" in ended.err


def test_every_problem_is_an_object_as_json(router: Command, folder: Path) -> None:
    (folder / "routes.yaml").write_text(BAD)
    ended = router("check", "--json")
    assert (ended.code, ended.err) == (1, "")
    assert [list(problem) for problem in ended.json] == [["path", "line", "column", "message"]] * 5
    assert [(problem["path"], problem["line"], problem["column"]) for problem in ended.json][:2] == [
        ("routes.yaml", 3, 1),
        ("routes.yaml", 4, 18),
    ]


# The tests that routes.yaml holds

MATCHES = {
    "route": "calls",
    "notification": CALL,
    "expected": "matches",
    "result": "passed",
}
DOES_NOT = {
    "route": "calls",
    "notification": "incomingMessageReceived/wa-text-waba.json",
    "expected": "does not match",
    "result": "passed",
}


def test_tests_that_pass_are_listed(router: Command) -> None:
    ended = router("test", "--json")
    assert (ended.code, ended.json) == (0, [MATCHES, DOES_NOT])


def test_a_test_that_fails_says_why(router: Command, folder: Path) -> None:
    text = ROUTES_YAML.replace("matches: true", "matches: false")
    (folder / "routes.yaml").write_text(text)
    ended = router("test", "--json")
    assert ended.code == 1
    assert ended.json[0] == {**MATCHES, "expected": "does not match", "result": "failed: matches"}
    assert router("test").code == 1


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", None])
def test_a_test_whose_file_cannot_be_read_fails(router: Command, folder: Path, content: bytes | None) -> None:
    text = ROUTES_YAML.replace(f"sample: {CALL}", "file: mine.json")
    (folder / "routes.yaml").write_text(text)
    (folder / "mine.json").write_bytes(content or b"{}")
    assert router("check").code == 0
    if content is None:
        (folder / "mine.json").unlink()
    ended = router("test")
    assert ended.code == 1


def test_without_tests_nothing_fails(router: Command, folder: Path) -> None:
    (folder / "routes.yaml").write_text(ROUTES_YAML.partition("    tests:")[0])
    ended = router("test")
    assert (ended.code, ended.out) == (0, "routes.yaml holds no tests\n")
