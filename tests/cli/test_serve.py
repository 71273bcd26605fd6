from __future__ import annotations

import os
import signal
import socket
from importlib.metadata import version
from pathlib import Path

import pytest

from router.events import DeliveryStatus
from tests.cli.conftest import CALL, MESSAGE, Command, Server, statuses
from tests.conftest import eventually


def test_it_says_where_it_listens_and_what_it_serves(server: Server) -> None:
    line = server.line("router.started")
    assert (line["level"], line["routes"], line["version"]) == (
        "INFO",
        ["calls", "messages"],
        version("green-event-router"),
    )
    assert line["webhook"] == f"http://127.0.0.1:{server.port}/webhook"
    assert server.port > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=str)
def test_told_to_stop_it_finishes_and_ends_with_0(folder: Path, number: signal.Signals) -> None:
    server = Server(folder)
    server.line("router.started")
    assert (server.stop(number), server.err) == (0, "")
    assert [line["event"] for line in server.lines][-2:] == ["router.stopping", "router.stopped"]


def test_what_is_sent_is_delivered_and_logged(router: Command, server: Server) -> None:
    event_id = router("send", CALL, "--fresh", "--to", server.url, "--json").json["id"]
    config = str(server.folder / "routes.yaml")
    delivery = eventually(
        lambda: next(
            (
                each
                for each in router("events", "show", event_id, "--json", "--config", config).json[
                    "deliveries"
                ]
                if each["status"] == "done"
            ),
            None,
        )
    )
    assert (delivery["route"], delivery["attempts"]) == ("calls", 1)
    assert [line["level"] for line in server.lines if line.get("event_id") == event_id] == ["INFO"]


@pytest.mark.parametrize(
    ("verb", "status"), [("retry", DeliveryStatus.DONE), ("discard", DeliveryStatus.DISCARDED)]
)
def test_a_running_router_takes_up_what_an_operator_changed(
    router: Command, server: Server, verb: str, status: DeliveryStatus
) -> None:
    config = ("--config", str(server.folder / "routes.yaml"))
    (server.folder / "plugins" / "open").unlink(missing_ok=True)
    event_id = router("send", MESSAGE, "--fresh", "--to", server.url, "--json").json["id"]
    dead = eventually(
        lambda: [row for row in router("dead", "list", "--json", *config).json if row["event"] == event_id]
    )
    (server.folder / "plugins" / "open").touch()
    ended = router("dead", verb, str(dead[0]["id"]), *config)
    assert ended.code == 0
    assert eventually(lambda: statuses(server.folder)[dead[0]["id"]] is status)


def test_behind_a_discarded_delivery_its_lane_goes_on(router: Command, server: Server) -> None:
    (server.folder / "plugins" / "open").touch()
    event_id = router("send", MESSAGE, "--fresh", "--to", server.url, "--json").json["id"]
    config = ("--config", str(server.folder / "routes.yaml"))
    assert eventually(
        lambda: [
            each
            for each in router("events", "show", event_id, "--json", *config).json["deliveries"]
            if each["status"] == "done"
        ]
    )


# What keeps it from starting


def test_a_second_router_on_the_same_inbox_does_not_start(server: Server, folder: Path) -> None:
    config = folder / "routes.yaml"
    config.write_text(
        config.read_text().replace("sqlite:///router.db", f"sqlite:///{server.folder}/router.db")
    )
    second = Server(folder)
    assert second.ended() == 3
    assert second.err == (
        f"another router (process {server.process.pid}) runs on inbox {server.folder}/router.db: "
        "stop it, or give this one an inbox.url of its own\n"
    )
    assert second.lines == []


def test_a_port_in_use_does_not_start_and_leaves_the_inbox_alone(server: Server, folder: Path) -> None:
    second = Server(folder, "--port", str(server.port))
    assert second.ended() == 3
    assert second.err == (
        f"cannot listen on 127.0.0.1:{server.port}: Address already in use; choose another --port or --host\n"
    )
    assert not (folder / "router.db").exists()


@pytest.mark.parametrize("host", ["256.256.256.256", "192.0.2.1", "x" * 300, "a..b"])
def test_an_address_that_is_not_ours_does_not_start(folder: Path, host: str) -> None:
    server = Server(folder, "--host", host)
    assert server.ended() == 3
    assert server.err.startswith(f"cannot listen on {host}:0: ")
    assert "Traceback" not in server.err


def test_an_inbox_that_cannot_be_made_does_not_start(folder: Path) -> None:
    (folder / "router.db").mkdir()
    server = Server(folder)
    assert server.ended() == 3
    assert server.err.startswith(f"inbox {folder.joinpath('router.db').relative_to(folder)}: ")
    assert server.err.count("\n") == 1


def test_a_bad_configuration_does_not_start(folder: Path) -> None:
    (folder / "routes.yaml").write_text("version: 1\nretries: 5\nroutes: []\n")
    server = Server(folder)
    assert (server.ended(), server.lines) == (1, [])
    assert server.err.startswith("routes.yaml:2:1: ")


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 on this machine")
def test_it_listens_on_ipv6_too(router: Command, folder: Path) -> None:
    server = Server(folder, "--host", "::1")
    url = server.url
    ended = router("send", CALL, "--to", url, "--json")
    assert (server.stop(), url[:13], ended.json["status"]) == (0, "http://[::1]:", "accepted")


def test_a_log_that_nobody_reads_any_more_stops_nothing(router: Command, folder: Path) -> None:
    server = Server(folder)
    url = server.url
    os.truncate(folder / "serve.out", 0)
    ended = router("send", CALL, "--to", url, "--json")
    assert (ended.json["status"], server.stop()) == ("accepted", 0)
