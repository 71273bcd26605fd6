from __future__ import annotations

import json
from importlib.resources import files

import pytest

from router import samples
from router.errors import NotFound


def test_every_file_is_listed_and_every_listed_sample_is_a_file() -> None:
    root = files("router.samples")
    found = [
        f"{folder.name}/{file.name}"
        for folder in root.iterdir()
        if folder.is_dir()
        for file in folder.iterdir()
    ]
    assert samples.names() == sorted(name for name in found if name.endswith(".json"))


def test_there_are_samples_of_every_documented_notification() -> None:
    assert {name.partition("/")[0] for name in samples.names()} == {
        "deviceInfo",
        "incomingBlock",
        "incomingCall",
        "incomingMessageReceived",
        "outgoingAPIMessageReceived",
        "outgoingCall",
        "outgoingMessageReceived",
        "outgoingMessageStatus",
        "quotaExceeded",
        "stateInstanceChanged",
        "statusInstanceChanged",
    }


@pytest.mark.parametrize("name", samples.names())
def test_a_sample_is_a_json_object_in_the_folder_of_its_type_and_has_a_source(name: str) -> None:
    body = json.loads(samples.read(name))
    assert body["typeWebhook"] == name.partition("/")[0]
    assert samples.source(name).strip() == samples.source(name) != ""


@pytest.mark.parametrize(
    "asked", ["incomingMessageReceived/wa-text-wabe.json", "wa-text-waba.json", "wa-text-waba"]
)
def test_a_name_that_nearly_fits_is_answered_with_the_right_one(asked: str) -> None:
    with pytest.raises(NotFound, match=r"did you mean 'incomingMessageReceived/wa-text-waba\.json'"):
        samples.read(asked)


@pytest.mark.parametrize("asked", ["", "nothing like it", "../errors.py", "SOURCES.tsv", "/etc/passwd"])
def test_only_samples_can_be_read(asked: str) -> None:
    with pytest.raises(NotFound, match="no sample is named"):
        samples.read(asked)
    with pytest.raises(NotFound, match="no sample is named"):
        samples.source(asked)
