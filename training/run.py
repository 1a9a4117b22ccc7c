"""A run from configuration to calibrated checkpoint and report."""

import json
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import TrainerCallback, set_seed

from stream.bundle import Head as BundleHead
from stream.evaluation.prediction import complete
from stream.evaluation.rows import Row, Split, rows_of, write_rows
from stream.evaluation.summary import summarise
from stream.pseudonyms import NO_PSEUDONYMS
from training.augmentation import NameSwap
from training.batches import Encoded
from training.calibration import MINIMUM_ROWS, calibrate
from training.configuration import ConfigurationError, Head, Options, resolve_heads
from training.dataset import Corpus, build_corpus, own_name
from training.distillation import keep_layers, load_teachers, mix_weights, weights_to_keep
from training.model import (
    CheckpointError,
    Classifier,
    Description,
    earlier_description,
    load_tokenizer,
    most_tokens,
    new_classifier,
    save_checkpoint,
)
from training.report import PAGE, REPORT, mistakes, write_report
from training.resumption import HELD_OUT, OPTIONS, require_same_rows, require_same_run
from training.trainer import Board, FineTuner, last_checkpoint

MODEL = "model"
CLEANING = "cleaning.json"


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a run needs before its first update."""

    corpus: Corpus
    encoded: dict[Split, Encoded]
    description: Description
    trainer: FineTuner
    fitted: frozenset[str]
    """The heads that learn, and to which temperature and thresholds are fitted."""


def prepare(options: Options, callbacks: Iterable[TrainerCallback] = ()) -> Prepared:
    """Read the data and the model; nothing that an earlier run left in the folder is touched."""
    set_seed(options.seed)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    # It plans anew for each shape, and batches have many: on an H100 that took 12 ms a layer.
    torch.backends.cuda.enable_cudnn_sdp(enabled=False)
    heads = resolve_heads(options)
    corpus = build_corpus(options, heads)
    tokenizer = load_tokenizer(options.encoder)
    fitted = _fitted(options, heads, corpus)
    earlier = earlier_description(options.encoder)
    described = _described(options, heads, earlier.heads if earlier else [], fitted)
    model = new_classifier(
        options.encoder,
        heads,
        options.dropout,
        options.learning_heads,
        folded=[head.name for head in described if not head.offsets],
    )
    _require_positions(options, model)
    if options.layers is not None:
        keep_layers(model.encoder, options.layers)
    teachers = (
        load_teachers(options.teachers, heads, tokenizer, options.teacher_temperature)
        if options.teachers
        else None
    )
    pseudonyms = options.pseudonyms
    if pseudonyms is None:
        pseudonyms = earlier.pseudonyms if earlier else NO_PSEUDONYMS
    compares_figures = options.compare_figures
    if compares_figures is None:
        compares_figures = earlier.compares_figures if earlier else False
    description = Description(
        name=options.name,
        encoder=earlier.encoder if earlier else _encoder_name(options.encoder),
        encoder_configuration=_configuration(model.encoder),
        heads=described,
        maximum_tokens=options.maximum_tokens,
        padding_id=model.encoder.config.pad_token_id or 0,
        pseudonyms=pseudonyms,
        compares_figures=compares_figures,
        languages=list(dict.fromkeys([*(earlier.languages if earlier else []), *_languages(corpus)])),
        data=_provenance(options, corpus, earlier.data if earlier else []),
        profile=earlier.profile if earlier else {},
    )
    encoded = {
        split: Encoded(
            rows,
            heads,
            tokenizer,
            options.maximum_tokens,
            description.reading,
            swap=NameSwap(rows, options.seed) if split == "train" and options.swap_names else None,
            swap_share=options.swap_names,
        )
        for split, rows in corpus.rows.items()
    }
    trainer = FineTuner(
        model=model,
        options=options,
        heads=heads,
        tokenizer=tokenizer,
        description=description,
        train=encoded["train"],
        valid=encoded["valid"],
        teachers=teachers,
        callbacks=[Board(options.output / "tensorboard"), *callbacks],
    )
    return Prepared(corpus, encoded, description, trainer, fitted)


def _fitted(options: Options, heads: Sequence[Head], corpus: Corpus) -> frozenset[str]:
    learnt, judged = _known(corpus.rows["train"]), _known(corpus.rows["valid"])
    # Teachers know something of every text.
    return frozenset(
        head.name
        for head in heads
        if options.learns(head.name)
        and (head.name in learnt or options.teachers)
        and judged[head.name] >= MINIMUM_ROWS
    )


def _known(rows: Iterable[Row]) -> Counter[str]:
    """Of how many texts, or of how many entities, the rows say something, by head."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(row.targets.keys())
        for entity in row.entities:
            if entity.spans:
                counts.update(entity.targets.keys())
    return counts


def _require_positions(options: Options, model: Classifier) -> None:
    most = most_tokens(model.encoder)
    if most is not None and options.maximum_tokens > most:
        raise ConfigurationError(
            f"maximum_tokens: {options.encoder} reads {most} tokens at most, not {options.maximum_tokens}; "
            f"set {most} or less, or name another encoder"
        )


def _calibrated(head: BundleHead, logits: NDArray[np.float32], valid: Encoded) -> BundleHead:
    allowed, possible = valid.masks[head.name]
    if head.scope == "entity":
        logits, allowed, possible = logits[valid.placed], allowed[valid.placed], possible[valid.placed]
    return calibrate(head, logits, allowed, possible)


def train(options: Options, *, resume: bool) -> Path:
    """Run everything; return the folder of the finished checkpoint.

    With `resume`, goes on from the last checkpoint of the same output folder, if there is one. What an earlier
    run left there is replaced only once this one can begin.
    """
    _require_other_models(options)
    options.output.mkdir(parents=True, exist_ok=True)
    checkpoint = last_checkpoint(options.output) if resume else None
    if checkpoint is not None:
        require_same_run(options, checkpoint)
    prepared = prepare(options)
    corpus, encoded, trainer = prepared.corpus, prepared.encoded, prepared.trainer
    if checkpoint is not None:
        require_same_rows(options.output, corpus.rows)
    # Read before the work, which would be in vain if they did not fit.
    start = (
        weights_to_keep(Path(options.encoder), trainer.classifier, prepared.description.heads)
        if options.keep_weights
        else {}
    )
    if checkpoint is None:
        shutil.rmtree(options.output / "checkpoints")
        # Beside rows held out from this run, an earlier run's model would be judged by what it learnt.
        if (options.output / MODEL).exists():
            shutil.rmtree(options.output / MODEL)
        for name in (REPORT, PAGE):
            (options.output / name).unlink(missing_ok=True)
    _write_preparation(options, corpus)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    mix_weights(trainer.classifier, start, options.keep_weights)

    valid = trainer.predict_rows(encoded["valid"])
    test = trainer.predict_rows(encoded["test"])
    calibrated = [
        _calibrated(head, valid[head.name], encoded["valid"]) if head.name in prepared.fitted else head
        for head in prepared.description.heads
    ]
    # Where a text answers for an entity, it does so with its own temperature, which is known only now.
    complete(calibrated, test, encoded["test"].encodings)
    apart = [data.name for data in options.data if data.evaluate_only]
    summary = summarise(calibrated, test, corpus.rows["test"], apart)
    finished = prepared.description.model_copy(
        update={"heads": calibrated, "metrics": headline(summary, calibrated)}
    )
    save_checkpoint(options.output / MODEL, trainer.classifier, trainer.tokenizer, finished)
    wrong = {
        head.name: mistakes(head, test, rows_of(head.scope, corpus.rows["test"]))
        for head in calibrated
        if head.kind == "single"
    }
    write_report(
        options.output,
        finished,
        summary=summary,
        corpus=corpus,
        wrong=wrong,
        history=trainer.state.log_history,
    )
    return options.output / MODEL


def _require_other_models(options: Options) -> None:
    """Raise `ConfigurationError` where the run would replace a model that it learns from."""
    learnt_from = {folder.resolve() for folder in (Path(options.encoder), *options.teachers)}
    if (options.output / MODEL).resolve() in learnt_from:
        raise ConfigurationError(
            f"output: {options.output} holds the model that the run learns from, which its own would replace; "
            "name another folder"
        )


def headline(summary: dict[str, Any], heads: list[BundleHead]) -> dict[str, Any]:
    """The figures that go into a bundle's manifest: per head overall, by language and by set.

    Heads of which no test row knows anything are left out.
    """
    figures = {
        head.name: {
            group: _rounded(found)
            for group, found in [
                ("all", summary[head.name]["all"]),
                *((f"language {name}", found) for name, found in summary[head.name]["by_language"].items()),
                *((f"set {name}", found) for name, found in summary[head.name]["by_set"].items()),
            ]
            if found
        }
        for head in heads
    }
    return {name: found for name, found in figures.items() if found}


def _rounded(found: dict[str, Any]) -> dict[str, Any]:
    kept = (
        "rows",
        "macro_f1",
        "accuracy",
        "polarity_accuracy",
        "auc",
        "recall_at_precision",
        "calibration_error_without_temperature",
        "calibration_error",
    )
    figures: dict[str, Any] = {name: _round(found[name]) for name in kept if name in found}
    figures["labels"] = {
        label: {name: _round(value) for name, value in scores.items()}
        for label, scores in found.get("labels", {}).items()
    }
    return figures


def _round(value: float) -> float:
    return value if isinstance(value, int) else round(value, 4)


def _described(
    options: Options, heads: list[Head], earlier: Sequence[BundleHead], to_fit: Collection[str]
) -> list[BundleHead]:
    """The heads before anything is fitted; those to which nothing will be keep what was fitted to them, without
    offsets if they learn, and each label of the others its threshold, until it is tuned."""
    found = []
    for head in heads:
        known = next((one for one in earlier if one.name == head.name), None)
        tuned = dict(zip(known.labels, known.thresholds, strict=False)) if known is not None else {}
        untuned = BundleHead(
            name=head.name,
            kind=head.kind,
            labels=list(head.labels),
            scope=head.scope,
            fallback=head.fallback,
            own_layers=head.own_layers,
            thresholds=[tuned.get(label, 0.5) for label in head.labels] if head.kind == "multi" else [],
        )
        if head.name in to_fit:
            found.append(untuned)
            continue
        kept = untuned
        if known is not None and _answers_alike(known, untuned):
            values = known.model_dump(include={"temperature", "offsets", "thresholds"})
            kept = untuned.model_copy(update=values)
        if kept != known and not options.learns(head.name):
            raise CheckpointError(
                f"{head.name} is not among learning_heads, and {options.encoder} has no such head to keep as it is"
            )
        # What learns goes on from its offsets, and they would be added to what it learns: see `fold_offsets`.
        found.append(kept.model_copy(update={"offsets": []}) if options.learns(head.name) else kept)
    return found


def _answers_alike(one: BundleHead, other: BundleHead) -> bool:
    """Whether what was fitted to one of them fits the other."""
    return (one.labels, one.kind, one.scope) == (other.labels, other.kind, other.scope)


def _encoder_name(encoder: str) -> str:
    """A hub name, or a folder's without what leads to it."""
    return Path(encoder).name if Path(encoder).is_dir() else encoder


def _configuration(encoder: Any) -> dict[str, Any]:
    """The encoder's shape, as plain JSON, without traces of where it was loaded from."""
    values: dict[str, Any] = json.loads(encoder.config.to_json_string(use_diff=True))
    for name in ("_name_or_path", "transformers_version", "architectures", "dtype"):
        values.pop(name, None)
    return {"model_type": encoder.config.model_type, **values}


def _languages(corpus: Corpus) -> list[str]:
    counts = Counter(row.language for row in corpus.rows["train"])
    total = sum(counts.values())
    return [
        language for language, count in counts.most_common() if language != "other" and count >= 0.01 * total
    ]


def _provenance(options: Options, corpus: Corpus, learnt: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The sets of this run and those that the model had learnt from before, each with the most rows it gave."""
    counts = Counter(row.source for row in corpus.rows["train"])
    now = [
        {"name": data.name, "rows": counts[data.name], "licence": data.licence}
        for data in options.data
        if counts[data.name]
    ] + [
        {"name": own_name(path), "rows": counts[own_name(path)], "licence": "its owner's"}
        for path in options.own_labels
    ]
    sets = {one["name"]: one for one in learnt}
    for one in now:
        if one["name"] not in sets or one["rows"] > sets[one["name"]]["rows"]:
            sets[one["name"]] = one
    return list(sets.values())


def _write_preparation(options: Options, corpus: Corpus) -> None:
    report = {
        "sets": {name: found.model_dump() for name, found in corpus.cleaning.items()},
        "cross_set_conflicts": corpus.cross_set_conflicts,
        "labels_from_cues": corpus.cued,
        "rows": {split: len(rows) for split, rows in corpus.rows.items()},
    }
    (options.output / CLEANING).write_text(
        json.dumps(report, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
    )
    (options.output / OPTIONS).write_text(options.model_dump_json(indent=2) + "\n", encoding="utf-8")
    for split, name in HELD_OUT.items():
        write_rows(options.output / name, corpus.rows[split])
