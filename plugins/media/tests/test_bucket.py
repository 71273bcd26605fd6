"""Against moto, a server that answers as S3 does, in a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from router import Event, RetryLater

obstore = pytest.importorskip("obstore", reason="needs obstore")
#: Has moto, which needs a hundred packages more.
PYTHON = Path(__file__).parents[3] / "tests" / "system" / ".venv" / "bin" / "python"
if not PYTHON.exists():
    pytest.skip("needs moto's server, which make test-system installs", allow_module_level=True)

from obstore.store import S3Store  # noqa: E402 - it is not always there
from router_media import S3  # noqa: E402
from router_media.bucket import Bucket  # noqa: E402

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(range(256)) * 8
KEYS = {"access_key": "someone", "secret_key": "very-hidden"}
FOLDER = "2024-01-29/79001234567@c.us"

Message = Callable[..., Event]
pytestmark = pytest.mark.system


@pytest.fixture(name="endpoint", scope="module")
def _endpoint() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [PYTHON, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    environment = {**os.environ, "MOTO_S3_CUSTOM_ENDPOINTS": f"http://127.0.0.1:{port}"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
        process.terminate()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/").close()
        except urllib.error.HTTPError as exc:
            exc.close()
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


@pytest.fixture(name="s3")
def _s3(endpoint: str) -> dict[str, Any]:
    """Make an empty bucket, and return the options for it."""
    bucket = f"files-{time.time_ns()}"
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{bucket}", method="PUT")).close()
    return {"bucket": bucket, "endpoint": endpoint, **KEYS}


def bucket(s3: dict[str, Any]) -> S3Store:
    return S3Store(
        s3["bucket"],
        config={
            "endpoint": s3["endpoint"],
            "region": "us-east-1",
            "access_key_id": "a",
            "secret_access_key": "b",
        },
        client_options={"allow_http": True},
    )


def objects(s3: dict[str, Any]) -> dict[str, bytes]:
    found = [each["path"] for batch in obstore.list(bucket(s3)) for each in batch]
    return {path: bytes(obstore.get(bucket(s3), path).bytes()) for path in found}


async def test_a_file_and_its_json_are_in_the_bucket(
    store: Any, server: Any, message: Message, s3: dict[str, Any]
) -> None:
    event = message(server.file("/a.jpg", JPEG), name="Фото №1 & 100%+.jpg")

    await store(event, s3=s3)

    record, file = sorted(objects(s3).items(), key=lambda item: not item[0].endswith(".json"))
    assert (file[0].startswith(f"{FOLDER}/"), file[0].endswith("-Фото №1 & 100%+.jpg")) == (True, True)
    assert file[1] == JPEG
    assert json.loads(record[1])["file"] == file[0].rpartition("/")[2]
    assert store.lines[-1]["file"] == file[0]


async def test_a_file_has_its_type_and_is_saved_not_shown(
    store: Any, server: Any, message: Message, s3: dict[str, Any]
) -> None:
    await store(message(server.file("/a.jpg", JPEG)), s3=s3, record=False)

    (path,) = objects(s3)
    found = obstore.get(bucket(s3), path).attributes
    assert (found["Content-Type"], found["Content-Disposition"]) == ("image/jpeg", "attachment")


async def test_the_same_message_twice_is_one_object(
    store: Any, server: Any, message: Message, s3: dict[str, Any]
) -> None:
    url = server.file("/a.jpg", JPEG)
    for number, name in ((1, "a.jpg"), (2, "b.jpg"), (1, "renamed.jpg")):
        await store(message(url, name=name, id_message=f"M{number}"), s3=s3, record=False)

    assert sorted(path.rpartition("-")[2] for path in objects(s3)) == ["a.jpg", "b.jpg"]
    assert [line["event"] for line in store.lines] == ["media.stored", "media.stored", "media.known"]


@pytest.mark.parametrize("path", ["", "{chat}"])
async def test_a_prefix(store: Any, server: Any, message: Message, s3: dict[str, Any], path: str) -> None:
    url = server.file("/a.jpg", JPEG)
    for _ in range(2):
        await store(message(url, id_message="M1"), s3={**s3, "prefix": "/one//two/"}, record=False, path=path)

    (found,) = objects(s3)
    assert found.startswith(f"one/two/{'79001234567@c.us/' if path else ''}")


async def test_a_large_file_goes_in_parts(
    store: Any, server: Any, message: Message, s3: dict[str, Any]
) -> None:
    content = JPEG * 10_000  # 20 MB

    await store(message(server.file("/a.jpg", content)), s3=s3, record=False)

    ((path, found),) = objects(s3).items()
    assert found == content
    mark = str(obstore.head(bucket(s3), path)["e_tag"]).strip('"')
    assert mark.endswith("-3")  # as S3 marks what came in three parts


async def test_nothing_is_left_on_this_machine(
    store: Any,
    server: Any,
    message: Message,
    s3: dict[str, Any],
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    await store(message(server.file("/a.jpg", JPEG)), s3=s3)
    with pytest.raises(RetryLater):
        await store(message(server.file("/a.jpg", JPEG)), s3={**s3, "bucket": "missing"})

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"bucket": "no-such-bucket"}, "bucket no-such-bucket: "),
        ({"endpoint": "http://127.0.0.1:1"}, "bucket files-"),
    ],
    ids=["no bucket", "no server"],
)
async def test_a_store_that_takes_nothing_is_tried_again(
    store: Any, server: Any, message: Message, s3: dict[str, Any], change: dict[str, str], problem: str
) -> None:
    with pytest.raises(RetryLater, match=problem) as caught:
        await store(message(server.file("/a.jpg", JPEG)), s3={**s3, **change})

    assert "very-hidden" not in caught.value.reason
    assert len(caught.value.reason) < 300


@pytest.mark.parametrize(
    ("options", "endpoint"),
    [
        ({"virtual_host": True}, "https://files.s3.example.com:9000/a"),
        ({}, "https://s3.example.com:9000/a"),
    ],
    ids=["in the name", "in the path"],
)
def test_where_the_bucket_is_named(options: dict[str, Any], endpoint: str) -> None:
    made = Bucket(S3(bucket="files", endpoint="https://s3.example.com:9000/a", **options))

    assert made._store.config["endpoint"] == endpoint
