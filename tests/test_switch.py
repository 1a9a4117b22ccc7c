"""A bundle that is put in place while a worker runs: all stages take it over together, or none does."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from tiny_bundle import HEADS, make_tiny_bundle

from stream.bundle import MODEL, Bundle, put_in_place, write_manifest
from stream.engine.errors import ModelError
from stream.metrics import SwitchMetrics
from stream.rules import RulesError
from stream.settings import Settings
from stream.switch import RETRY_SECONDS, BundleSwitch, Takeover
from stream.worker import prepared_rules


class Stage:
    """Remembers what it prepared and what it uses; may be unable to load."""

    def __init__(self, log: list[str], name: str) -> None:
        self._log, self._name = log, name
        self.fails = False

    async def prepare(self, bundle: Bundle) -> Takeover:
        if self.fails:
            raise ModelError("the device is full")
        self._log.append(f"{self._name} loads {bundle.hash}")
        return lambda: self._log.append(f"{self._name} uses {bundle.hash}")


class Worker:
    """Two stages, a bundle in a folder, and the switch that looks into it."""

    def __init__(self, folder: Path) -> None:
        self.bundle = make_tiny_bundle(folder / "bundle")
        self.log: list[str] = []
        self.stages = [Stage(self.log, "score"), Stage(self.log, "watch")]
        self.registry = CollectorRegistry()
        prepares = [stage.prepare for stage in self.stages]
        self.switch = BundleSwitch(self.bundle, 1.0, prepares, SwitchMetrics(self.registry))

    @property
    def refuses(self) -> bool:
        """Whether the metric says that the folder holds nothing that can be used."""
        return self.registry.get_sample_value("downtick_bundle_refused") == 1

    def put(self, temperature: float, damage: Callable[[Path], object] | None = None) -> str:
        """Put another bundle, damaged if wanted, in place; return its hash."""
        folder = self.bundle.folder
        staging = folder.with_name("staging")
        shutil.copytree(folder, staging)
        heads = [head.model_copy(update={"temperature": temperature}) for head in self.bundle.manifest.heads]
        found = write_manifest(staging, self.bundle.manifest.model_copy(update={"heads": heads})).hash
        if damage is not None:
            damage(staging)
            shutil.rmtree(folder)
            staging.rename(folder)
        else:
            put_in_place(staging, folder)
        return found


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The hashes of the bundles that the log says were refused."""
    return re.findall(r"bundle (\w+) is refused", caplog.text)


async def test_while_the_bundle_is_the_same_nothing_is_loaded(worker: Worker) -> None:
    await worker.switch.look()
    assert worker.log == []
    assert not worker.refuses


async def test_every_stage_loads_another_bundle_before_any_uses_it(worker: Worker) -> None:
    found = worker.put(2.0)
    await worker.switch.look()
    await worker.switch.look()
    assert worker.log == [
        f"{stage} {verb} {found}" for verb in ("loads", "uses") for stage in ("score", "watch")
    ]
    assert not worker.refuses


async def test_where_one_stage_cannot_load_it_none_uses_it(worker: Worker) -> None:
    worker.stages[1].fails = True
    worker.put(2.0)
    await worker.switch.look()
    assert not any("uses" in line for line in worker.log)
    assert worker.refuses


async def test_one_that_is_copied_half_is_refused_once_and_used_when_it_is_whole(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = [0.0]
    monkeypatch.setattr("stream.switch.time.monotonic", lambda: clock[0])
    whole = worker.bundle.model.read_bytes()
    found = worker.put(2.0, damage=lambda folder: (folder / MODEL).write_bytes(whole[: len(whole) // 2]))
    for clock[0] in (0.0, 1.0, RETRY_SECONDS + 1, 2 * RETRY_SECONDS + 2):
        await worker.switch.look()
        assert worker.refuses
    assert worker.log == []
    assert refusals(caplog) == [found], "and not each time that it is looked at"
    worker.bundle.model.write_bytes(whole)
    clock[0] = 2 * RETRY_SECONDS + 3
    await worker.switch.look()
    assert worker.log == [], "it is not read again at every look"
    clock[0] = 4 * RETRY_SECONDS
    await worker.switch.look()
    assert worker.log[-1] == f"watch uses {found}"
    assert not worker.refuses


async def test_a_bundle_that_is_put_in_place_again_after_the_old_one_is_refused_again(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.stages[1].fails = True
    bad = worker.put(2.0)
    await worker.switch.look()
    worker.put(1.0)
    await worker.switch.look()
    assert not worker.refuses
    worker.put(2.0)
    await worker.switch.look()
    assert worker.refuses
    assert refusals(caplog) == [bad, bad]


async def test_while_the_folder_is_away_the_old_bundle_goes_on(worker: Worker) -> None:
    away = worker.bundle.folder.with_name("away")
    worker.bundle.folder.rename(away)
    await worker.switch.look()
    assert worker.log == []
    assert worker.refuses, "since a worker that restarts now finds none"
    away.rename(worker.bundle.folder)
    await worker.switch.look()
    assert not worker.refuses


async def test_a_bundle_that_lacks_a_topic_of_the_rules_is_not_taken_over(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules: [{name: desk, topics: [people]}]", encoding="utf-8")
    settings = Settings(rules=rules)
    await prepared_rules(settings, make_tiny_bundle(tmp_path / "with"))
    without = make_tiny_bundle(tmp_path / "without", [head for head in HEADS if head.name != "topics"])
    with pytest.raises(RulesError, match="people"):
        await prepared_rules(settings, without)
