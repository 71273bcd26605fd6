"""The Kubernetes manifests of each variant, put together as ``kubectl kustomize`` does, without kubectl."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy" / "kubernetes"
VARIANTS = ["webhook", "polling"]

#: One object of Kubernetes.
Manifest = dict[str, Any]


@cache
def manifests(variant: str) -> list[Manifest]:
    """Return everything that a variant applies; a ConfigMap by the name that it is generated from."""
    return list(_built(FOLDER / variant))


def of_kind(variant: str, kind: str) -> list[Manifest]:
    """Return the objects of a kind."""
    return [each for each in manifests(variant) if each["kind"] == kind]


def only(variant: str, kind: str) -> Manifest:
    """Return the one object of a kind."""
    found = of_kind(variant, kind)
    assert len(found) == 1, f"{variant}: {len(found)} of kind {kind}"
    return found[0]


def pod(variant: str) -> Manifest:
    """Return what each pod is made from, with its labels."""
    template: Manifest = only(variant, "Deployment")["spec"]["template"]
    return template


def container(variant: str) -> Manifest:
    """Return the one container of the pod."""
    (found,) = pod(variant)["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def _built(folder: Path) -> Iterator[Manifest]:
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    for resource in kustomization["resources"]:
        path = folder / resource
        if path.is_dir():
            yield from _built(path)
        else:
            yield yaml.safe_load(path.read_text("utf-8"))
    for generated in kustomization.get("configMapGenerator", ()):
        data = {name: (folder / name).read_text("utf-8") for name in generated["files"]}
        yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generated["name"]}, "data": data}
