"""The compose files: their variables are settings, their ports agree, what they mount exists."""

import re
from pathlib import Path

import pytest
from deployment import (
    COMPOSE,
    DEPLOY,
    GPU,
    bind_mounts,
    compose,
    document,
    environment,
    published_ports,
    text,
)
from pydantic import BaseModel

from stream.cli import COMMANDS
from stream.settings import PREFIX, Settings, load_settings

VARIABLE = re.compile(rf"\b{PREFIX}[A-Z_]+\b")
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
OWN_SERVICES = ("topics", "worker")


def is_setting(variable: str) -> bool:
    model: type[BaseModel] = Settings
    *sections, last = variable.removeprefix(PREFIX).lower().split("__")
    for section in sections:
        inner = model.model_fields[section].annotation if section in model.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return False
        model = inner
    return last in model.model_fields


@pytest.mark.parametrize(
    "path", sorted(path for path in DEPLOY.rglob("*") if path.is_file()), ids=lambda path: path.name
)
def test_every_variable_in_any_file_is_a_setting(path: Path) -> None:
    unknown = [name for name in VARIABLE.findall(path.read_text(encoding="utf-8")) if not is_setting(name)]
    assert [name for name in unknown if name != "DOWNTICK_CONFIG"] == []


@pytest.mark.parametrize("files", [(COMPOSE,), (COMPOSE, GPU)], ids="+".join)
@pytest.mark.parametrize("service", OWN_SERVICES)
def test_the_settings_of_each_service_can_be_used(
    files: tuple[str, ...], service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(compose(*files)["services"][service]).items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.kafka.brokers == "kafka:19092"


@pytest.mark.parametrize("service", OWN_SERVICES)
def test_a_settings_file_that_is_mounted_decides_on_the_shape_of_the_topics(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "downtick.yaml"
    file.write_text("topics: {partitions: 16, replication: 3}", encoding="utf-8")
    entry = compose()["services"][service]
    for name, value in environment(entry).items():
        monkeypatch.setenv(name, value)
    topics = load_settings(file).topics
    assert (topics.partitions, topics.replication) == (16, 3)
    assert {"DOWNTICK_TOPICS__PARTITIONS", "DOWNTICK_TOPICS__REPLICATION"} <= entry["environment"].keys()


def test_the_readme_names_every_setting_of_a_file_that_compose_overrides() -> None:
    readme = text("README.md")
    for variable in environment(compose()["services"]["worker"]):
        assert f"`{variable.removeprefix(PREFIX).lower().replace('__', '.')}`" in readme


def test_the_workers_of_the_gpu_file_insist_on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = compose(COMPOSE, GPU)["services"]["worker"]
    for name, value in environment(worker).items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.engine.provider == "cuda"
    assert settings.engine.require_provider
    assert any(volume.endswith(f":{settings.bundle}:ro") for volume in worker["volumes"])
    (device,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_both_services_run_commands_that_exist() -> None:
    services = compose()["services"]
    assert {services[name]["command"][0] for name in OWN_SERVICES} <= set(COMMANDS)


def test_the_clients_reach_kafka_by_a_listener_that_it_advertises() -> None:
    services = compose()["services"]
    kafka = environment(services["kafka"])
    advertised = dict(entry.split("://") for entry in kafka["KAFKA_ADVERTISED_LISTENERS"].split(","))
    listeners = dict(entry.split("://") for entry in kafka["KAFKA_LISTENERS"].split(","))
    clients = {environment(services[name])["DOWNTICK_KAFKA__BROKERS"] for name in OWN_SERVICES}
    assert clients == {advertised["INTERNAL"]}
    assert set(listeners) == set(advertised) | {kafka["KAFKA_CONTROLLER_LISTENER_NAMES"]}
    for name, address in advertised.items():
        assert address.rpartition(":")[2] == listeners[name].rpartition(":")[2]
    protocols = dict(entry.split(":") for entry in kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    assert set(protocols) == set(listeners)
    _, port, container_port = published_ports(services["kafka"])[0]
    assert advertised["HOST"] == f"localhost:{port}"
    assert container_port == port


def test_topics_are_made_before_workers_start() -> None:
    services = compose()["services"]
    assert services["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    assert services["worker"]["depends_on"] == {"topics": {"condition": "service_completed_successfully"}}
    assert "healthcheck" in services["kafka"]


def test_several_workers_fit_on_one_host() -> None:
    worker = compose()["services"]["worker"]
    assert worker["deploy"]["replicas"] >= 2
    assert published_ports(worker) == []
    assert "container_name" not in worker
    assert worker["expose"] == [str(Settings().web.port)]


def test_published_ports_are_bound_to_loopback() -> None:
    services = compose()["services"]
    published = [port for service in services.values() for port in published_ports(service)]
    assert len(published) >= 3
    assert {address for address, *_ in published} == {"127.0.0.1"}


def test_every_image_has_a_version() -> None:
    images = [service["image"] for service in compose()["services"].values()]
    images += re.findall(r"^FROM (\S+)", text("Dockerfile"), re.MULTILINE)
    for image in images:
        assert re.search(r":(\w*\d+\.\d+|(cpu|gpu)$)", image), image


def test_everything_that_is_mounted_exists() -> None:
    services = compose()["services"]
    mounted = [path for service in services.values() for path in bind_mounts(service)]
    assert len(mounted) >= 3
    assert [path for path in mounted if not path.exists()] == []


def test_every_named_volume_is_declared() -> None:
    file = compose()
    used = {
        entry.split(":")[0]
        for service in file["services"].values()
        for entry in service.get("volumes", [])
        if not entry.startswith((".", "$"))
    }
    assert used == set(file["volumes"])


def test_the_build_finds_its_context_and_its_dockerfile() -> None:
    build = compose()["services"]["worker"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == (DEPLOY / "Dockerfile").resolve()


def test_no_password_stands_in_a_file() -> None:
    for name in (COMPOSE, GPU):
        for service in document(name)["services"].values():
            for variable, value in service.get("environment", {}).items():
                if "PASSWORD" in variable:
                    assert value is None or re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), variable


def test_nobody_sees_the_dashboard_without_a_password_unless_asked_for() -> None:
    grafana = environment(compose()["services"]["grafana"])
    assert grafana["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert grafana["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
