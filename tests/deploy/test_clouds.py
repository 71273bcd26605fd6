"""What the pages on clouds show agrees with itself and with the router; no cloud is asked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import psycopg.conninfo
import pytest
import yaml

from router.health import health_routes
from tests.deploy.manifests import ROOT
from tests.deploy.routes import files_named, loaded, variables_named
from tests.deploy.stopping import longest_stop

HOW_TO = ROOT / "docs" / "how-to"
AWS, CLOUD_RUN, AZURE = "aws.md", "google-cloud-run.md", "azure-container-apps.md"
#: Seconds: the longest that Fargate grants, and all that Cloud Run grants.
FARGATE_STOP, CLOUD_RUN_STOP = 120, 10

every_page = pytest.mark.parametrize("page", [AWS, CLOUD_RUN, AZURE])


def shown(page: str, name: str) -> str:
    """Return a file that a page shows."""
    text = (HOW_TO / page).read_text("utf-8")
    found = re.search(
        rf"^<!-- file: {re.escape(name)} -->\n```\w+\n(.*?)^```", text, re.DOTALL | re.MULTILINE
    )
    assert found is not None, f"{page} does not show {name}"
    return found[1]


def routes_yaml(page: str) -> str:
    return shown(page, "routes.yaml")


def database(page: str) -> dict[str, Any]:
    """Return what libpq reads from the URL of the inbox."""
    url = yaml.safe_load(routes_yaml(page))["inbox"]["url"]
    return psycopg.conninfo.conninfo_to_dict(re.sub(r"\$\{[^}]+\}", "secret", url))


def mounted(mounts: dict[str, str], volumes: dict[str, list[str]]) -> set[str]:
    """Return the paths of files, of volumes by name, and of the files in each."""
    return {f"{mounts[name]}/{path}" for name, paths in volumes.items() for path in paths}


def by_name(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {entry["name"]: entry["value"] for entry in entries}


def pages_of_the_router() -> set[str]:
    return {route.path for route in health_routes(list)}


def task() -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(shown(AWS, "task-definition.json"))
    return found


def aws_container() -> dict[str, Any]:
    (found,) = task()["containerDefinitions"]
    assert isinstance(found, dict)
    return found


def cloud_run() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(shown(CLOUD_RUN, "service.yaml"))["spec"]["template"]
    return found


def azure() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(shown(AZURE, "app.yaml"))["properties"]
    return found


@every_page
def test_the_routes_yaml_has_no_problems(page: str, tmp_path: Path) -> None:
    assert loaded(routes_yaml(page), tmp_path).webhook.tokens


@every_page
def test_the_database_is_that_of_a_role_and_is_spoken_to_in_secret(page: str) -> None:
    found = database(page)
    assert (found["user"], found["password"], found["dbname"]) == ("router", "secret", "router")
    if not found["host"].startswith("/cloudsql/"):
        assert found["sslmode"] == "verify-full"
        assert found["sslrootcert"]


@every_page
def test_the_page_says_what_was_not_tried(page: str) -> None:
    assert re.search(r"^Not run on \w+", (HOW_TO / page).read_text("utf-8"), re.MULTILINE)


def test_the_secrets_of_the_task_are_those_that_the_routes_yaml_names() -> None:
    secrets = {each["name"] for each in aws_container()["secrets"]}
    assert secrets == variables_named(routes_yaml(AWS))


def test_the_task_is_given_longer_to_stop_than_the_router_takes(tmp_path: Path) -> None:
    grace = loaded(routes_yaml(AWS), tmp_path).delivery.shutdown_grace
    assert longest_stop(grace) < aws_container()["stopTimeout"] <= FARGATE_STOP


def test_the_task_is_asked_on_the_port_that_it_listens_on() -> None:
    (port,) = aws_container()["portMappings"]
    kind, *command = aws_container()["healthCheck"]["command"]
    url = re.search(rf"http://127\.0\.0\.1:{port['containerPort']}(/\w+)'", command[-1])
    assert str(port["containerPort"]) == by_name(aws_container()["environment"])["ROUTER_PORT"]
    assert (kind, command[:2]) == ("CMD", ["python", "-c"])
    assert url is not None
    assert url[1] in pages_of_the_router()
    compile(command[-1], "healthCheck", "exec")


def test_the_task_writes_to_its_volume_only() -> None:
    container = aws_container()
    mounts = {each["sourceVolume"]: each["containerPath"] for each in container["mountPoints"]}
    assert mounts.keys() == {each["name"] for each in task()["volumes"]}
    assert container["readonlyRootFilesystem"] is True
    assert by_name(container["environment"])["TMPDIR"] in mounts.values()
    assert container["user"].split(":")[0] not in {"0", "root"}


def test_the_size_of_the_task_is_one_that_fargate_has() -> None:
    assert task()["requiresCompatibilities"] == ["FARGATE"]
    assert task()["networkMode"] == "awsvpc"
    assert task()["cpu"] == "1024"
    assert int(task()["memory"]) in range(2048, 8192 + 1, 1024)


def test_cloud_run_mounts_the_secrets_that_the_routes_yaml_names() -> None:
    (container,) = cloud_run()["spec"]["containers"]
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    volumes = {
        each["name"]: [item["path"] for item in each["secret"]["items"]]
        for each in cloud_run()["spec"]["volumes"]
    }
    assert mounted(mounts, volumes) == files_named(routes_yaml(CLOUD_RUN))
    assert len(set(mounts.values())) == len(volumes)


def test_cloud_run_always_has_an_instance_with_a_processor() -> None:
    found = cloud_run()["metadata"]["annotations"]
    assert found["run.googleapis.com/cpu-throttling"] == "false"
    least, most = (int(found[f"autoscaling.knative.dev/{name}Scale"]) for name in ("min", "max"))
    assert 1 < least <= most


def test_cloud_run_connects_the_database_of_the_routes_yaml() -> None:
    instance = cloud_run()["metadata"]["annotations"]["run.googleapis.com/cloudsql-instances"]
    assert database(CLOUD_RUN)["host"] == f"/cloudsql/{instance}"


def test_handlers_have_less_time_than_cloud_run_gives(tmp_path: Path) -> None:
    assert loaded(routes_yaml(CLOUD_RUN), tmp_path).delivery.shutdown_grace < CLOUD_RUN_STOP


def test_cloud_run_probes_what_the_router_has() -> None:
    (container,) = cloud_run()["spec"]["containers"]
    (port,) = container["ports"]
    probes = [container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness")]
    assert str(port["containerPort"]) == by_name(container["env"])["ROUTER_PORT"]
    assert {each["port"] for each in probes} == {port["containerPort"]}
    assert [each["path"] for each in probes] == ["/readyz", "/healthz"]
    assert {each["path"] for each in probes} <= pages_of_the_router()


def test_azure_mounts_the_secrets_that_the_routes_yaml_names() -> None:
    (container,) = azure()["template"]["containers"]
    (volume,) = azure()["template"]["volumes"]
    mounts = {each["volumeName"]: each["mountPath"] for each in container["volumeMounts"]}
    declared = {each["name"] for each in azure()["configuration"]["secrets"]}
    named = files_named(routes_yaml(AZURE)) - {"system"}
    assert {each["secretRef"] for each in volume["secrets"]} == declared
    assert mounted(mounts, {volume["name"]: [each["path"] for each in volume["secrets"]]}) == named


def test_azure_gives_longer_to_stop_than_the_router_takes(tmp_path: Path) -> None:
    grace = loaded(routes_yaml(AZURE), tmp_path).delivery.shutdown_grace
    assert azure()["template"]["terminationGracePeriodSeconds"] > longest_stop(grace)


def test_azure_probes_what_the_router_has() -> None:
    (container,) = azure()["template"]["containers"]
    probes = {each["type"]: each["httpGet"] for each in container["probes"]}
    port = azure()["configuration"]["ingress"]["targetPort"]
    assert str(port) == by_name(container["env"])["ROUTER_PORT"]
    assert {each["port"] for each in probes.values()} == {port}
    assert {name: each["path"] for name, each in probes.items()} == {
        "Startup": "/healthz",
        "Liveness": "/healthz",
        "Readiness": "/readyz",
    }
    assert {each["path"] for each in probes.values()} <= pages_of_the_router()


def test_azure_never_scales_to_zero() -> None:
    scale = azure()["template"]["scale"]
    assert 1 < scale["minReplicas"] <= scale["maxReplicas"]


def test_azure_finds_the_authorities_of_the_system() -> None:
    (container,) = azure()["template"]["containers"]
    assert database(AZURE)["sslrootcert"] == "system"
    assert by_name(container["env"])["SSL_CERT_FILE"] == "/etc/ssl/certs/ca-certificates.crt"
