from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from router.health import health_routes
from tests.deploy.manifests import FOLDER, ROOT, VARIANTS, Manifest, container, manifests, of_kind, only, pod
from tests.deploy.routes import files_named, loaded
from tests.deploy.stopping import longest_stop

PAGE = ROOT / "docs" / "how-to" / "kubernetes.md"
#: Seconds after which GREEN-API takes an answer for lost.
GREEN_API_WAITS = 180

both = pytest.mark.parametrize("variant", VARIANTS)


def routes_yaml(variant: str) -> str:
    text: str = only(variant, "ConfigMap")["data"]["routes.yaml"]
    return text


def env(variant: str) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(variant)["env"]}


def volumes(variant: str) -> dict[str, Manifest]:
    """Return what is mounted, by where."""
    by_name = {each["name"]: each for each in pod(variant)["spec"]["volumes"]}
    return {mount["mountPath"]: by_name[mount["name"]] for mount in container(variant)["volumeMounts"]}


def probes(variant: str) -> dict[str, Manifest]:
    found = {name: container(variant)[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}
    return {name: probe["httpGet"] for name, probe in found.items()}


def ingress_settings() -> dict[str, str]:
    prefix = "nginx.ingress.kubernetes.io/"
    found = only("webhook", "Ingress")["metadata"]["annotations"]
    return {name.removeprefix(prefix): value for name, value in found.items()}


def test_every_file_is_part_of_a_variant() -> None:
    named: set[Path] = set()
    for kustomization in FOLDER.rglob("kustomization.yaml"):
        content = yaml.safe_load(kustomization.read_text("utf-8"))
        files = [name for each in content.get("configMapGenerator", ()) for name in each["files"]]
        named |= {(kustomization.parent / name).resolve() for name in [*content["resources"], *files]}
        named.add(kustomization)
    assert {path for path in FOLDER.rglob("*") if path.is_file()} <= named


def test_no_secret_is_in_the_folder() -> None:
    assert not [each for variant in VARIANTS for each in of_kind(variant, "Secret")]
    assert "secretGenerator" not in "".join(path.read_text() for path in FOLDER.rglob("*.yaml"))


@both
def test_every_selector_means_the_pods(variant: str) -> None:
    labels = pod(variant)["metadata"]["labels"]
    selectors = [only(variant, "Deployment")["spec"]["selector"]["matchLabels"]]
    selectors += [each["spec"]["selector"] for each in of_kind(variant, "Service")]
    selectors += [each["spec"]["selector"]["matchLabels"] for each in of_kind(variant, "PodDisruptionBudget")]
    selectors += [each["spec"]["podSelector"]["matchLabels"] for each in of_kind(variant, "NetworkPolicy")]
    spread = pod(variant)["spec"]["topologySpreadConstraints"]
    selectors += [each["labelSelector"]["matchLabels"] for each in spread]
    assert all(selector and selector.items() <= labels.items() for selector in selectors)


@both
def test_what_is_referred_to_by_name_is_there(variant: str) -> None:
    there = {(each["kind"], each["metadata"]["name"]) for each in manifests(variant)}
    target = only(variant, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    spec = pod(variant)["spec"]
    referred = {(target["kind"], target["name"]), ("ServiceAccount", spec["serviceAccountName"])}
    referred |= {("ConfigMap", each["configMap"]["name"]) for each in spec["volumes"] if "configMap" in each}
    referred |= {
        ("Service", path["backend"]["service"]["name"])
        for ingress in of_kind(variant, "Ingress")
        for rule in ingress["spec"]["rules"]
        for path in rule["http"]["paths"]
    }
    assert referred <= there


@both
def test_the_namespace_is_the_one_that_everything_goes_to(variant: str) -> None:
    kustomization = yaml.safe_load((FOLDER / variant / "kustomization.yaml").read_text("utf-8"))
    assert only(variant, "Namespace")["metadata"]["name"] == kustomization["namespace"]


@both
def test_ports_agree(variant: str) -> None:
    (port,) = container(variant)["ports"]
    assert str(port["containerPort"]) == env(variant)["ROUTER_PORT"]
    assert {probe["port"] for probe in probes(variant).values()} == {port["name"]}
    for service in of_kind(variant, "Service"):
        assert [each["targetPort"] for each in service["spec"]["ports"]] == [port["name"]]


def test_the_ingress_leads_to_the_service_and_the_policy_lets_it_in() -> None:
    (port,) = only("webhook", "Service")["spec"]["ports"]
    ((path,),) = [rule["http"]["paths"] for rule in only("webhook", "Ingress")["spec"]["rules"]]
    assert path["backend"]["service"]["port"]["name"] == port["name"]
    opened = [
        rule for each in of_kind("webhook", "NetworkPolicy") for rule in each["spec"].get("ingress", ())
    ]
    assert [each["port"] for rule in opened for each in rule["ports"]] == [port["targetPort"]]


def test_the_certificate_is_for_the_host_of_the_rule() -> None:
    spec = only("webhook", "Ingress")["spec"]
    assert [each["hosts"] for each in spec["tls"]] == [[rule["host"]] for rule in spec["rules"]]


@both
def test_probes_ask_for_pages_that_the_router_has(variant: str) -> None:
    pages = {route.path for route in health_routes(list)}
    asked = {name: probe["path"] for name, probe in probes(variant).items()}
    assert set(asked.values()) <= pages
    assert asked["readiness"] == "/readyz"
    assert asked["liveness"] == asked["startup"] == "/healthz"


@both
def test_the_pod_is_given_longer_to_stop_than_the_router_takes(variant: str, tmp_path: Path) -> None:
    pause = container(variant)["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = loaded(routes_yaml(variant), tmp_path).delivery.shutdown_grace
    assert pod(variant)["spec"]["terminationGracePeriodSeconds"] > pause + longest_stop(grace)


@both
def test_the_routes_yaml_is_read_where_it_is_mounted(variant: str) -> None:
    path = Path(env(variant)["ROUTER_CONFIG"])
    mounted = volumes(variant)[str(path.parent)]
    assert path.name in only(variant, "ConfigMap")["data"]
    assert mounted["configMap"]["name"] == only(variant, "ConfigMap")["metadata"]["name"]


@both
def test_the_inbox_is_one_that_all_replicas_share(variant: str) -> None:
    url = yaml.safe_load(routes_yaml(variant))["inbox"]["url"]
    assert re.match(r"postgresql://router:\$\{file:[^}]+\}@[\w.]+:5432/router\?sslmode=verify-full&", url)


@both
def test_every_secret_that_the_routes_yaml_names_is_mounted_and_told_on_the_page(variant: str) -> None:
    secrets = {path: each["secret"] for path, each in volumes(variant).items() if "secret" in each}
    page = PAGE.read_text("utf-8")
    named = [Path(path) for path in files_named(routes_yaml(variant))]
    assert len(named) >= 3
    for path in named:
        assert f"create secret generic {secrets[str(path.parent)]['secretName']} " in page
        assert f"--from-file={path.name}" in page


def test_polling_asks_for_every_instance_and_is_open_to_nobody(tmp_path: Path) -> None:
    config = loaded(routes_yaml("polling"), tmp_path)
    assert {each.transport.value for each in config.instances} == {"polling"}
    assert not of_kind("polling", "Ingress") + of_kind("polling", "Service")
    policy = only("polling", "NetworkPolicy")["spec"]
    assert "Ingress" in policy["policyTypes"]
    assert "ingress" not in policy


def test_the_ingress_passes_on_what_the_webhook_takes(tmp_path: Path) -> None:
    webhook = loaded(routes_yaml("webhook"), tmp_path).webhook
    ((path,),) = [rule["http"]["paths"] for rule in only("webhook", "Ingress")["spec"]["rules"]]
    assert (path["path"], path["pathType"]) == (webhook.path, "Exact")
    size = re.fullmatch(r"(\d+)m", ingress_settings()["proxy-body-size"])
    assert size is not None
    assert int(size[1]) * 1024 * 1024 >= webhook.max_body
    assert webhook.tokens
    assert webhook.trusted_proxies


def test_a_dead_replica_is_passed_over_before_green_api_gives_up() -> None:
    found = ingress_settings()
    assert {"error", "timeout", "http_503", "non_idempotent"} <= set(found["proxy-next-upstream"].split())
    assert int(found["proxy-next-upstream-tries"]) > 1
    assert int(found["proxy-connect-timeout"]) == 1
    assert int(found["proxy-read-timeout"]) < int(found["proxy-next-upstream-timeout"]) < GREEN_API_WAITS


@both
def test_the_pod_has_no_rights_that_it_does_not_need(variant: str) -> None:
    spec, rights = pod(variant)["spec"], container(variant)["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert rights["allowPrivilegeEscalation"] is False
    assert rights["readOnlyRootFilesystem"] is True
    assert rights["capabilities"] == {"drop": ["ALL"]}
    assert (
        only(variant, "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    )


@both
def test_what_is_written_goes_to_a_volume(variant: str) -> None:
    writable = {path for path, volume in volumes(variant).items() if "emptyDir" in volume}
    assert writable == {"/tmp", "/app/var"}
    assert all("sizeLimit" in volumes(variant)[path]["emptyDir"] for path in writable)


@both
def test_no_service_sets_a_variable_that_the_router_reads(variant: str) -> None:
    assert pod(variant)["spec"]["enableServiceLinks"] is False
    names = [each["metadata"]["name"] for each in of_kind(variant, "Service")]
    assert "ROUTER_PORT" not in [f"{name.upper().replace('-', '_')}_PORT" for name in names]


@both
def test_a_replica_more_starts_before_one_stops(variant: str) -> None:
    deployment = only(variant, "Deployment")["spec"]
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert deployment["strategy"]["rollingUpdate"]["maxSurge"] > 0
    budget = only(variant, "PodDisruptionBudget")["spec"]["maxUnavailable"]
    assert 0 < budget < deployment["replicas"]


@both
def test_the_autoscaler_agrees_with_the_deployment(variant: str) -> None:
    spec = only(variant, "HorizontalPodAutoscaler")["spec"]
    assert spec["minReplicas"] == only(variant, "Deployment")["spec"]["replicas"] < spec["maxReplicas"]
    measured = [each["resource"]["name"] for each in spec["metrics"]]
    assert measured == ["cpu"]
    assert set(measured) <= container(variant)["resources"]["requests"].keys()
