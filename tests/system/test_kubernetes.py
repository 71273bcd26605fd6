"""The manifests as kubectl builds them, against the schemas of Kubernetes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.manifests import FOLDER, VARIANTS, manifests

pytestmark = pytest.mark.system

#: Made by ``make test-system``.
VALIDATE = Path(__file__).parent / ".venv" / "bin" / "kubernetes-validate"
#: The oldest version that has all that the manifests use, and the newest one whose schemas are there.
VERSIONS = ["1.31", "1.37"]


def schema_errors(path: Path, version: str) -> str:
    command = [str(VALIDATE), "--strict", "--quiet", "-k", version, str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    return ended.stdout + ended.stderr if ended.returncode else ""


validated = pytest.mark.skipif(
    not VALIDATE.exists(), reason="kubernetes-validate is not installed: make test-system"
)


@pytest.fixture
def variant_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"{request.param}.yaml"
    path.write_text(yaml.safe_dump_all(manifests(request.param)), "utf-8")
    return path


@validated
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("variant_file", VARIANTS, indirect=True)
def test_the_manifests_keep_to_the_schemas(variant_file: Path, version: str) -> None:
    assert schema_errors(variant_file, version) == ""


@validated
@pytest.mark.parametrize("variant_file", ["webhook"], indirect=True)
def test_a_misspelt_key_would_be_found(variant_file: Path) -> None:
    variant_file.write_text(variant_file.read_text("utf-8").replace("readOnlyRootFilesystem", "readOnlyRoot"))
    assert "readOnlyRoot" in schema_errors(variant_file, VERSIONS[-1])


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("variant", VARIANTS)
def test_kubectl_builds_what_the_tests_read(variant: str) -> None:
    command = ["kubectl", "kustomize", str(FOLDER / variant)]
    built = list(yaml.safe_load_all(subprocess.run(command, capture_output=True, check=True).stdout))

    read = manifests(variant)
    assert sorted(each["kind"] for each in built) == sorted(each["kind"] for each in read)
    (routes,) = [each for each in built if each["kind"] == "ConfigMap"]
    (deployment,) = [each for each in built if each["kind"] == "Deployment"]
    volumes = deployment["spec"]["template"]["spec"]["volumes"]
    assert routes["metadata"]["name"].startswith("routes-")
    assert [each["configMap"]["name"] for each in volumes if "configMap" in each] == [
        routes["metadata"]["name"]
    ]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example.com/green-event-router:0.1.0"
