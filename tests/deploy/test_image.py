"""The image: what the Dockerfile takes is there, and it runs Downtick the way it should be run."""

import re
import tomllib

import pytest
from deployment import DEPLOY, ROOT, Instruction, compose, copied_sources, document, instructions

from stream.cli import COMMANDS
from stream.settings import Settings, load_settings


def named(name: str) -> list[Instruction]:
    return [instruction for instruction in instructions() if instruction.name == name]


def last_stage() -> list[Instruction]:
    steps = instructions()
    start = max(place for place, step in enumerate(steps) if step.name == "FROM")
    return steps[start:]


def test_everything_that_is_copied_exists() -> None:
    missing = [str(path.relative_to(ROOT)) for path in copied_sources() if not path.exists()]
    assert missing == []


def test_nothing_that_is_copied_is_kept_from_the_builder() -> None:
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    admitted = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert {path.relative_to(ROOT).parts[0] for path in copied_sources()} == admitted


def test_all_that_the_package_is_built_from_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    copied = {path.relative_to(ROOT).as_posix() for path in copied_sources()}
    assert {"pyproject.toml", project["readme"], "stream"} <= copied


def test_each_runtime_that_compose_builds_is_an_extra_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    default = next(step.text.partition("=")[2] for step in named("ARG") if step.text.startswith("RUNTIME"))
    files = [compose(), document("compose.gpu.yaml")]
    asked = {file["services"]["worker"]["build"]["args"]["RUNTIME"] for file in files}
    assert {default, *asked} == {"cpu", "gpu"}
    assert asked <= set(project["optional-dependencies"])
    assert any('".[${RUNTIME},notify]"' in step.text for step in named("RUN"))


def test_the_bundle_lies_where_the_package_looks_for_it() -> None:
    base = named("FROM")[-1].words[0]
    version = base.removeprefix("python:").partition("-")[0]
    target = next(step.words[-1] for step in last_stage() if step.words[:1] == ["bundles/default"])
    assert target == f"/opt/downtick/lib/python{version}/site-packages/bundles/default"


def test_both_stages_have_the_same_python_in_a_version_that_the_package_allows() -> None:
    bases = {step.words[0] for step in named("FROM")}
    assert len(bases) == 1
    major, minor = bases.pop().removeprefix("python:").partition("-")[0].split(".")
    assert (int(major), int(minor)) >= (3, 11)


def test_it_does_not_run_as_root() -> None:
    users = [step.text for step in last_stage() if step.name == "USER"]
    assert users == ["downtick"]
    assert any(re.search(r"useradd .* downtick\b", step.text) for step in last_stage())


def test_it_starts_a_worker_without_a_shell_in_between() -> None:
    (entrypoint,) = named("ENTRYPOINT")
    (command,) = named("CMD")
    assert entrypoint.exec_form == ["downtick"]
    assert command.exec_form[0] in COMMANDS


def test_the_health_check_asks_the_port_that_the_worker_listens_on() -> None:
    (check,) = named("HEALTHCHECK")
    (exposed,) = named("EXPOSE")
    port = Settings().web.port
    assert f"http://127.0.0.1:{port}/healthz" in check.exec_form[-1]
    assert exposed.text == str(port)
    compile(check.exec_form[-1], "HEALTHCHECK", "exec")


def test_its_variables_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = dict(word.split("=", 1) for step in last_stage() if step.name == "ENV" for word in step.words)
    assert variables["PYTHONUNBUFFERED"] == "1"
    for name, value in variables.items():
        if name.startswith("DOWNTICK_"):
            monkeypatch.setenv(name, value)
    settings = load_settings()
    owned = next(step for step in last_stage() if "--owner downtick" in step.text)
    assert str(settings.watch.state_directory) in owned.text
