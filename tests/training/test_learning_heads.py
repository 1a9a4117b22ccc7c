"""A head that learns alone, in layers of its own, while all that is said of texts stays as it was."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from tiny_checkpoint import run_export
from tiny_run import configuration, make_data, make_encoder, write_configuration
from transformers import DistilBertConfig, DistilBertModel

from export.conversion import run_session, session
from stream.bundle import CARD, Bundle, load_bundle
from stream.engine.encoding import Encoding
from stream.engine.judgement import Question
from stream.engine.tokens import BundleTokenizer
from stream.evaluation.prediction import Logits
from stream.evaluation.rows import Row, read_rows
from stream.pseudonyms import Pseudonyms
from stream.reading import Reading
from training.cli import train
from training.configuration import ConfigurationError, Options, read_configuration
from training.encoding import encode_rows
from training.model import CheckpointError, load_checkpoint, new_classifier, save_checkpoint
from training.prediction import predict
from training.run import prepare

TEXT_HEADS = ("sentiment", "topics")
PSEUDONYMS = Pseudonyms(latin=("cobalt", "dynamo"))


@dataclass(frozen=True, slots=True)
class Runs:
    """One run in which heads over texts learnt, and one that gave their model a head over entities."""

    first: Path
    second: Path
    options: dict[str, Any]


def run(root: Path, options: dict[str, Any]) -> Path:
    path = write_configuration(root / f"{Path(options['output']).name}.yaml", options)
    result = CliRunner().invoke(train, ["--config", str(path)])
    assert result.exit_code == 0, (result.output, result.exception)
    return Path(options["output"])


def with_own_layers(heads: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    return [{**head, "own_layers": count} if head.get("scope") == "entity" else head for head in heads]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    root = tmp_path_factory.mktemp("runs")
    options = configuration(
        make_encoder(root / "encoder"), make_data(root / "data"), root / "first", epochs=6
    )
    of_texts = {"heads": options["heads"][:2], "data": options["data"][:3]}
    first = run(root, {**options, **of_texts})
    changes = {
        "encoder": str(first / "model"),
        "output": str(root / "second"),
        "heads": with_own_layers(options["heads"], 1),
        "learning_heads": ["entity_sentiment"],
    }
    return Runs(first, run(root, {**options, **changes}), {**options, **changes})


def encoded(runs: Runs) -> tuple[list[Row], list[Encoding]]:
    rows = list(read_rows(runs.second / "test.jsonl"))
    _, tokenizer, description = load_checkpoint(runs.second / "model")
    return rows, encode_rows(tokenizer, rows, description.maximum_tokens)


def answers(folder: Path, texts: list[Encoding]) -> Logits:
    model, _, description = load_checkpoint(folder / "model")
    return predict(model, description.heads, texts, description.padding_id, 32)


def test_what_is_said_of_texts_stays_as_it_was(runs: Runs) -> None:
    _, texts = encoded(runs)
    before, after = answers(runs.first, texts), answers(runs.second, texts)
    for head in TEXT_HEADS:
        np.testing.assert_array_equal(after[head], before[head])
    known = {head.name: head for head in load_checkpoint(runs.first / "model")[2].heads}
    kept = {head.name: head for head in load_checkpoint(runs.second / "model")[2].heads}
    assert all(kept[head] == known[head] for head in TEXT_HEADS)


def test_what_is_said_of_entities_is_learnt(runs: Runs) -> None:
    metrics = load_checkpoint(runs.second / "model")[2].metrics
    assert metrics["entity_sentiment"]["all"]["macro_f1"] > 0.8


def test_the_sets_that_the_model_learnt_from_before_are_still_named(runs: Runs) -> None:
    data = load_checkpoint(runs.second / "model")[2].data
    assert [one["name"] for one in data] == ["news", "board", "flashes", "pairs"]
    assert data[:3] == load_checkpoint(runs.first / "model")[2].data


@pytest.fixture
def under_pseudonyms(runs: Runs, tmp_path: Path) -> Path:
    """The second checkpoint, as if it had learnt under pseudonyms."""
    model, tokenizer, description = load_checkpoint(runs.second / "model")
    renamed = description.model_copy(update={"pseudonyms": PSEUDONYMS})
    save_checkpoint(tmp_path / "renamed", model, tokenizer, renamed)
    return tmp_path / "renamed"


@pytest.mark.parametrize(
    ("wanted", "found"),
    [({}, PSEUDONYMS), ({"pseudonyms": {"latin": ["dynamo"]}}, Pseudonyms(latin=("dynamo",)))],
)
def test_who_is_trained_on_reads_companies_under_the_pseudonyms_that_it_knows_or_under_those_asked_for(
    runs: Runs, under_pseudonyms: Path, tmp_path: Path, wanted: dict[str, Any], found: Pseudonyms
) -> None:
    changes = {"encoder": str(under_pseudonyms), "output": str(tmp_path / "third"), **wanted}
    prepared = prepare(Options(**{**runs.options, **changes}))
    assert prepared.description.pseudonyms == found
    train = prepared.encoded["train"]
    tokenizer = load_checkpoint(under_pseudonyms)[1]
    assert train.encodings == encode_rows(
        tokenizer, train.rows, prepared.description.maximum_tokens, Reading(found)
    )


def exported(checkpoint: Path, runs: Runs, folder: Path) -> Bundle:
    """The checkpoint's bundle in FP32, compared on the test rows of the second run."""
    rows = runs.second / "test.jsonl"
    result = run_export(checkpoint, "--out", folder, "--precision", "fp32", "--evaluation", rows)
    assert result.exit_code == 0, result.output
    return load_bundle(folder)


@pytest.mark.parametrize(("wanted", "found"), [({}, True), ({"compare_figures": False}, False)])
def test_who_is_trained_on_reads_figures_compared_if_it_did_before_or_as_is_asked_for(
    runs: Runs, tmp_path: Path, wanted: dict[str, Any], *, found: bool
) -> None:
    model, tokenizer, description = load_checkpoint(runs.second / "model")
    save_checkpoint(
        tmp_path / "comparing", model, tokenizer, description.model_copy(update={"compares_figures": True})
    )
    changes = {"encoder": str(tmp_path / "comparing"), "output": str(tmp_path / "third"), **wanted}
    assert prepare(Options(**{**runs.options, **changes})).description.reading.compares_figures == found
    bundle = exported(tmp_path / "comparing", runs, tmp_path / "bundle")
    assert bundle.manifest.reading.compares_figures
    assert "which is greater" in (tmp_path / "bundle" / CARD).read_text(encoding="utf-8")


def test_the_stream_reads_companies_under_the_pseudonyms_of_the_training(
    runs: Runs, under_pseudonyms: Path, tmp_path: Path
) -> None:
    bundle = exported(under_pseudonyms, runs, tmp_path / "bundle")
    rows, plain = encoded(runs)
    questions = [Question(row.text, tuple((entity.name,) for entity in row.entities)) for row in rows]
    _, tokenizer, description = load_checkpoint(under_pseudonyms)
    renamed = encode_rows(tokenizer, rows, description.maximum_tokens, Reading(PSEUDONYMS))
    assert BundleTokenizer(bundle).encode(questions) == renamed != plain


def test_a_bundle_of_it_judges_alike_and_can_be_read_back(runs: Runs, tmp_path: Path) -> None:
    result = run_export(runs.second / "model", "--out", tmp_path / "bundle", "--precision", "fp32")
    assert result.exit_code == 0, result.output
    bundle = load_bundle(tmp_path / "bundle")
    _, texts = encoded(runs)
    wanted = answers(runs.second, texts)
    found = run_session(session(bundle.model), bundle.manifest.heads, texts, 0, 32)
    again = predict(load_checkpoint(bundle.folder)[0], bundle.manifest.heads, texts, 0, 32)
    for head, logits in wanted.items():
        np.testing.assert_allclose(found[head], logits, atol=1e-4)
        np.testing.assert_allclose(again[head], logits, atol=1e-4)


def test_a_bundle_says_of_texts_what_the_bundle_said_that_it_learnt_from(runs: Runs, tmp_path: Path) -> None:
    lenient = ("--allowed-loss", 0.2, "--minimum-agreement", 0.8, "--evaluation", runs.second / "test.jsonl")
    bundles = []
    for folder in (runs.first, runs.second):
        result = run_export(folder / "model", "--out", tmp_path / folder.name, *lenient)
        assert result.exit_code == 0, result.output
        bundles.append(load_bundle(tmp_path / folder.name))
    _, texts = encoded(runs)
    before, after = (
        run_session(session(bundle.model), bundle.manifest.heads, texts, 0, 32) for bundle in bundles
    )
    for head in TEXT_HEADS:
        np.testing.assert_array_equal(after[head], before[head])


def test_an_entity_is_judged_alike_whatever_else_is_in_its_batch(runs: Runs) -> None:
    model, _, description = load_checkpoint(runs.second / "model")
    short, long = Encoding([2, 9, 5, 3], [[1]]), Encoding([2, *range(5, 20), 3], [[3], [4, 5]])
    alone = predict(model, description.heads, [short], 0, 1)["entity_sentiment"]
    together = predict(model, description.heads, [long, short], 0, 2)["entity_sentiment"]
    np.testing.assert_allclose(alone[0], together[2], atol=1e-5)


def test_a_head_without_an_earlier_version_cannot_stay_as_it_is(runs: Runs, tmp_path: Path) -> None:
    shutil.copytree(runs.second.parent / "encoder", tmp_path / "encoder")
    options = {**runs.options, "encoder": str(tmp_path / "encoder"), "output": str(tmp_path / "out")}
    path = write_configuration(tmp_path / "run.yaml", options)
    result = CliRunner().invoke(train, ["--config", str(path)])
    assert result.exit_code == 1
    assert "sentiment is not among learning_heads, and" in result.output.splitlines()[-1]


def test_an_encoder_of_another_build_gives_no_layers(tmp_path: Path) -> None:
    shape = {"vocab_size": 20, "dim": 8, "hidden_dim": 8, "n_layers": 2, "n_heads": 2}
    DistilBertModel(DistilBertConfig(**shape)).save_pretrained(tmp_path)
    options = configuration(tmp_path, tmp_path, tmp_path / "out")
    heads = read_configuration(
        write_configuration(
            tmp_path / "run.yaml", {**options, "heads": with_own_layers(options["heads"], 1)}
        ),
        {},
    ).heads
    with pytest.raises(CheckpointError, match=r"1 layers of its own of this encoder \(distilbert\)"):
        new_classifier(str(tmp_path), heads, 0.1)


@pytest.mark.parametrize("count", [0, 2])
def test_a_head_goes_on_with_as_many_layers_as_it_has_learnt_in(runs: Runs, count: int) -> None:
    heads = load_checkpoint(runs.second / "model")[2].heads
    others = [head.model_copy(update={"own_layers": count}) if head.own_layers else head for head in heads]
    with pytest.raises(CheckpointError, match="set `own_layers: 1` for it"):
        new_classifier(str(runs.second / "model"), others, 0.1)


def test_more_layers_of_its_own_than_the_encoder_has_below_are_refused(runs: Runs) -> None:
    heads = load_checkpoint(runs.second / "model")[2].heads
    greedy = [head.model_copy(update={"own_layers": 2}) if head.own_layers else head for head in heads]
    with pytest.raises(CheckpointError, match="2 layers of its own"):
        new_classifier(str(runs.first / "model"), greedy, 0.1)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"learning_heads": ["mood"]}, "there is no head 'mood'"),
        ({"learning_heads": ["topics"], "teachers": ["runs/x/model"]}, "with teachers all heads learn"),
        (
            {
                "layers": 1,
                "heads": [
                    {
                        "name": "mood",
                        "kind": "single",
                        "labels": ["a", "b"],
                        "scope": "entity",
                        "own_layers": 1,
                    }
                ],
            },
            "an encoder that is cut",
        ),
        (
            {"heads": [{"name": "mood", "kind": "single", "labels": ["a", "b"], "own_layers": 1}]},
            "only a head over entities",
        ),
    ],
)
def test_options_that_contradict_each_other_are_named(
    tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    options = configuration(tmp_path / "encoder", tmp_path, tmp_path / "out")
    path = write_configuration(tmp_path / "run.yaml", {**options, **change})
    with pytest.raises(ConfigurationError, match=complaint):
        read_configuration(path, {})
