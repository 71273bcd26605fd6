from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from router_media import Options

MakeOptions = Callable[..., Options]

BUCKET = {"bucket": "files", "endpoint": "http://127.0.0.1:9000"}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"path": ""},
        {"path": "{instance}/{year}/{chat}"},
        {"max_size": "1GiB", "timeout": "1h", "stall": "5s", "min_free": "5GB", "keep": "30d"},
        {"allow_types": ["image/*", "application/pdf"], "deny_types": ["image/svg+xml"]},
        {"allow_extensions": ["pdf", ".JPG"], "deny_extensions": ["exe"]},
        {"hosts": ["*.storage.yandexcloud.net", "files.example.com"]},
        {"allow": ["10.0.0.0/8", "fd00::/8", "127.0.0.1"]},
        {"refused": "skip", "record": False},
        {"folder": None, "s3": BUCKET},
        {"folder": None, "s3": {**BUCKET, "access_key": "a", "secret_key": "b", "prefix": "a/b"}},
    ],
    ids=str,
)
def test_options_that_are_right(make_options: MakeOptions, options: dict[str, Any]) -> None:
    if options.get("s3"):
        pytest.importorskip("obstore", reason="needs obstore")

    make_options(**{"folder": "var/media", **options})


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"folder": None}, "expected either folder or s3"),
        ({"s3": BUCKET}, "expected either folder or s3"),
        ({"folder": ""}, "folder: expected a path"),
        ({"folder": None, "s3": BUCKET, "keep": "30d"}, "keep: not with s3"),
        ({"folder": None, "s3": {}}, "missing required field `bucket`"),
        ({"folder": None, "s3": {**BUCKET, "endpoint": "minio:9000"}}, "endpoint: expected http://"),
        ({"folder": None, "s3": {**BUCKET, "access_key": "a"}}, "expected access_key and secret_key"),
        ({"path": "{colour}"}, "path: no field"),
        ({"path": "../x"}, "path: expected folders"),
        ({"max_size": "0B"}, "max_size: expected more than 0"),
        ({"timeout": "0s"}, "timeout: expected more than 0"),
        ({"stall": "0s"}, "stall: expected more than 0"),
        ({"keep": "0s"}, "keep: expected more than 0s"),
        ({"max_size": "many"}, "no size"),
        ({"allow_types": ["image"]}, "allow_types: 'image' is not a type such as"),
        ({"deny_types": ["IMAGE/*"]}, "deny_types: 'IMAGE/\\*' is not a type"),
        ({"allow_extensions": ["*.pdf"]}, "allow_extensions: '\\*.pdf' is not an extension"),
        ({"hosts": ["https://example.com"]}, "hosts: 'https://example.com' is not a host"),
        ({"allow": ["10.0.0.1/8"]}, "allow: 10.0.0.1/8 has host bits set"),
        ({"refused": "log"}, "Invalid enum value"),
    ],
    ids=str,
)
def test_options_that_are_wrong(make_options: MakeOptions, options: dict[str, Any], problem: str) -> None:
    if options.get("s3"):
        pytest.importorskip("obstore", reason="needs obstore")

    with pytest.raises(msgspec.ValidationError, match=problem):
        make_options(**{"folder": "var/media", **options})


def test_s3_without_obstore_is_said_at_the_start(
    make_options: MakeOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router_media.options.find_spec", lambda name: None)

    with pytest.raises(msgspec.ValidationError, match=r"install green-event-router-media\[s3\]"):
        make_options(s3=BUCKET)


def test_no_secret_is_shown(make_options: MakeOptions) -> None:
    pytest.importorskip("obstore", reason="needs obstore")

    assert "hidden" not in repr(make_options(s3={**BUCKET, "access_key": "a", "secret_key": "hidden"}))


@pytest.mark.parametrize(
    ("options", "type_", "is_wanted"),
    [
        ({}, "image/png", True),
        ({"allow_types": ["image/*"]}, "image/png", True),
        ({"allow_types": ["image/*"]}, "video/mp4", False),
        ({"allow_types": ["image/*"], "deny_types": ["image/svg+xml"]}, "image/svg+xml", False),
        ({"deny_types": ["video/*"]}, "image/png", True),
    ],
    ids=str,
)
def test_types(make_options: MakeOptions, options: dict[str, Any], type_: str, is_wanted: bool) -> None:
    assert make_options(folder="x", **options).wants_type(type_) is is_wanted


@pytest.mark.parametrize(
    ("host", "is_wanted"),
    [
        ("files.example.com", True),
        ("FILES.Example.com.", True),
        ("a.b.net", True),
        ("b.net", False),
        ("evilb.net", False),
        ("files.example.com.evil.org", False),
    ],
)
def test_hosts(make_options: MakeOptions, host: str, is_wanted: bool) -> None:
    options = make_options(folder="x", hosts=["files.example.com", "*.b.net"])

    assert options.wants_host(host) is is_wanted
