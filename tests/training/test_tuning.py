"""A search for the options of a run."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from tiny_run import configuration, make_data, make_encoder, write_configuration, write_jsonl

from training import tuning
from training.cli import tune
from training.configuration import read_configuration, resolve_heads
from training.dataset import build_corpus
from training.trainer import FineTuner


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A configuration of short runs over one set."""
    options = configuration(
        make_encoder(tmp_path / "encoder"),
        make_data(tmp_path / "data", rows=60),
        tmp_path / "out",
        epochs=1,
        evaluate_every=2,
    )
    options["heads"] = options["heads"][:1]
    options["data"] = options["data"][:1]
    return write_configuration(tmp_path / "run.yaml", options)


def test_a_search_goes_on_where_it_stopped_and_leaves_a_configuration(path: Path) -> None:
    out = path.parent / "out"
    first = CliRunner().invoke(tune, ["--config", str(path), "--trials", "2"])
    assert first.exit_code == 0, first.output
    again = CliRunner().invoke(tune, ["--config", str(path), "--trials", "3"])
    assert again.exit_code == 0, again.output
    [second] = [line for line in first.output.splitlines() if line.startswith("trial 2:")]
    [third] = [line for line in again.output.splitlines() if line.startswith("trial")]
    assert third.startswith("trial 3:")
    assert third.partition("  ")[2] != second.partition("  ")[2], "what was drawn before is not drawn again"
    assert "best of 3: macro-F1" in again.output

    best = yaml.safe_load((out / "best.yaml").read_text(encoding="utf-8"))
    assert set(best) == {"base", *tuning.SPACE}
    options = read_configuration(out / "best.yaml", {})
    assert options.learning_rate == best["learning_rate"]
    assert options.name == "tiny"
    assert not list(out.glob("trials/*"))


def test_what_the_configuration_says_is_tried_first(path: Path) -> None:
    result = CliRunner().invoke(tune, ["--config", str(path), "--trials", "1"])
    assert result.exit_code == 0, result.output
    best = yaml.safe_load((path.parent / "out" / "best.yaml").read_text(encoding="utf-8"))
    asked = read_configuration(path, {})
    assert best["batch_size"] == asked.batch_size
    assert best["head_learning_rate"] == pytest.approx(asked.head_learning_rate)
    # Beyond the range that is searched.
    assert asked.learning_rate > 5e-4 >= best["learning_rate"]


def test_what_the_configuration_says_is_tried_first_even_after_an_interruption(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(FineTuner, "train", _interrupted)
        stopped = CliRunner().invoke(tune, ["--config", str(path), "--trials", "1"])
    assert stopped.exit_code != 0
    assert "trial 1" not in stopped.output
    result = CliRunner().invoke(tune, ["--config", str(path), "--trials", "1"])
    assert result.exit_code == 0, result.output
    best = yaml.safe_load((path.parent / "out" / "best.yaml").read_text(encoding="utf-8"))
    assert best["head_learning_rate"] == pytest.approx(read_configuration(path, {}).head_learning_rate)


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_search_with_other_options_begins_in_a_folder_of_its_own(path: Path) -> None:
    def search(*flags: str) -> str:
        return CliRunner().invoke(tune, ["--config", str(path), "--trials", "1", *flags]).output

    assert "best of 1" in search()
    assert "has a search with other epochs, whose trials say nothing of these: give" in search(
        "--epochs", "2"
    )
    heads = '[{"name": "sentiment", "kind": "single", "labels": ["negative", "positive", "neutral"]}]'
    assert "has a search with other heads, labels of sentiment, whose" in search("--heads", heads)
    assert "best of 1" in search("--threads", "1")
    (path.parent / "out" / "tuning.json").unlink()
    assert "does not say what the search in" in search()


def test_paths_in_flags_hold_wherever_the_best_options_are_used(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = path.parent
    (root / "topics.yaml").write_text("labels: {money: of money, crime: of crime}\n", encoding="utf-8")
    write_jsonl(
        root / "mine.jsonl",
        [{"text": f"profit word{number}", "sentiment": "positive"} for number in range(9)],
    )
    write_jsonl(root / "data" / "more.jsonl", [{"text": "fraud", "about": "crime"}])
    asked = read_configuration(path, {})
    heads = [
        *(head.model_dump(mode="json", exclude_unset=True) for head in asked.heads),
        {"name": "topics", "kind": "multi", "taxonomy": "topics.yaml"},
    ]
    more = {"name": "more", "files": {"train": "./more.jsonl"}, "licence": "MIT"}
    data = [
        asked.data[0].model_dump(mode="json", exclude_unset=True),
        more | {"labels": {"topics": {"column": "about"}}},
    ]
    flags = {"--heads": heads, "--data": data, "--own-labels": ["mine.jsonl"], "--data-root": "data"}
    monkeypatch.chdir(root)
    given = [
        part
        for name, value in flags.items()
        for part in (name, value if isinstance(value, str) else json.dumps(value))
    ]
    result = CliRunner().invoke(tune, ["--config", str(path), "--trials", "1", *given])
    assert result.exit_code == 0, result.output
    monkeypatch.chdir(root / "encoder")
    best = read_configuration(root / "out" / "best.yaml", {})
    assert best.own_labels == [root / "mine.jsonl"]
    assert best.heads[1].taxonomy == root / "topics.yaml"
    assert [one.files["train"] for one in best.data] == [
        root / "data" / "news.jsonl",
        root / "data" / "more.jsonl",
    ]
    assert len(build_corpus(best, resolve_heads(best)).cleaning) == 3


def test_test_rows_have_no_say(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = []
    real = tuning.prepare

    def watched(*arguments):
        prepared.append(real(*arguments))
        prepared[-1].encoded["test"].masks.clear()
        prepared[-1].encoded["test"].encodings.clear()
        return prepared[-1]

    monkeypatch.setattr(tuning, "prepare", watched)
    result = CliRunner().invoke(tune, ["--config", str(path), "--trials", "1"])
    assert result.exit_code == 0, result.output
    assert len(prepared) == 1
