from __future__ import annotations

from pathlib import Path

import pytest

from router import samples
from tests.cli.conftest import CALL, MESSAGE, Command, Server, free_port


def test_a_sample_is_sent_and_the_answer_shown(router: Command, server: Server) -> None:
    ended = router("send", CALL, "--fresh", "--to", server.url, "--json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.json == {"http_status": 200, "status": "accepted", "id": ended.json["id"]}


def test_the_same_again_is_a_duplicate_unless_it_is_made_fresh(router: Command, server: Server) -> None:
    first = router("send", CALL, "--to", server.url, "--json").json["id"]
    assert router("send", CALL, "--to", server.url, "--json").json == {
        "http_status": 200,
        "status": "duplicate",
        "id": first,
    }
    assert router("send", CALL, "--fresh", "--to", server.url, "--json").json["status"] == "accepted"


def test_a_file_and_standard_input_are_sent_as_they_are(
    router: Command, server: Server, folder: Path
) -> None:
    (folder / "mine.json").write_bytes(b"no JSON, \xff")
    from_file = router("send", "mine.json", "--to", server.url, "--json").json
    assert from_file["status"] == "invalid"
    assert router("send", "-", "--to", server.url, "--json", stdin=b"no JSON, \xff").json == {
        "http_status": 200,
        "status": "duplicate",
        "id": from_file["id"],
    }
    assert router("send", "mine.json", "--fresh", "--to", server.url).code == 0


def test_the_answer_is_shown_to_people(router: Command, server: Server) -> None:
    ended = router("send", MESSAGE, "--fresh", "--to", server.url)
    assert (ended.code, ended.out[:22]) == (0, '200 {"status":"accepte')


def test_a_router_that_refuses_is_a_problem(router: Command, server: Server, folder: Path) -> None:
    config = folder / "routes.yaml"
    config.write_text(config.read_text().replace("of-the-router", "of-another-router"))
    ended = router("send", CALL, "--to", server.url, "--json")
    assert (ended.code, ended.json) == (1, {"http_status": 401, "error": "bad or missing token"})


def test_without_a_configuration_there_is_no_token(router: Command, server: Server, folder: Path) -> None:
    (folder / "routes.yaml").unlink()
    ended = router("send", CALL, "--to", server.url)
    assert (ended.code, ended.out[:3]) == (1, "401")


def test_what_is_no_webhook_is_a_problem(router: Command, server: Server) -> None:
    ended = router("send", CALL, "--to", server.url + "/elsewhere", "--json")
    assert (ended.code, ended.json) == (1, {"http_status": 404})


def test_nobody_at_the_address_is_a_problem(router: Command) -> None:
    url = f"http://127.0.0.1:{free_port()}/webhook"
    ended = router("send", CALL, "--to", url)
    assert (ended.code, ended.out) == (1, "")
    assert (
        ended.err == f"{url}: no answer: [Errno 111] Connection refused; is 'router serve' running there?\n"
    )


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "ftp://x/",
        "file:///etc/passwd",
        "http://",
        "http://[bad/",
        "http://a b/",
        "http://x:y/",
    ],
)
def test_what_is_no_url_is_a_problem(router: Command, url: str) -> None:
    ended = router("send", CALL, "--to", url)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"{url}: ") or "no answer" in ended.err


def test_the_sample_is_looked_for_before_anything_is_sent(router: Command) -> None:
    ended = router("send", "wa-pickup", "--to", "http://127.0.0.1:1/")
    assert (ended.code, ended.out) == (1, "")
    assert "did you mean 'incomingCall/wa-pickup.json'?" in ended.err


@pytest.mark.parametrize(
    "settings",
    [
        "webhook: {token: пароль}",
        "webhook: {token: Basic own-token}",
        "instances: [{id: 1101000001, webhook_token: own-token}]",
        "webhook: {path: /hooks}",
    ],
)
def test_it_is_sent_as_the_router_wants_it(
    router: Command, tmp_path_factory: pytest.TempPathFactory, settings: str
) -> None:
    folder = tmp_path_factory.mktemp("own")
    (folder / "routes.yaml").write_text(f"version: 1\nlogging: {{format: json}}\n{settings}\nroutes: []\n")
    server = Server(folder)
    config = ("--config", str(folder / "routes.yaml"))
    ended = router("send", CALL, "--to", server.url, "--json", *config)
    assert (server.stop(), ended.json["http_status"], samples.read(CALL) != b"") == (0, 200, True)
