"""`downtick tune`: a search for the options of a run, judged by validation rows, with Optuna.

It can be interrupted at any time: its log in the output folder says which trials are done, and the same
command goes on from there.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from pydantic import BaseModel, ValidationError
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.configuration import ConfigurationError, Options, resolve_heads
from training.resumption import differences, resolved
from training.run import prepare

JOURNAL = "tuning.log"
BEGUN = "tuning.json"
"""What the trials in the journal were tried with."""
BEST = "best.yaml"
_DONE = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True, slots=True)
class Found:
    """The best trial of a search."""

    macro_f1: float
    """Mean over the heads, on validation rows."""
    configuration: Path
    """A file with them, on the base of the one that was searched around."""
    trials: int


class Begun(BaseModel):
    """What a search was begun with."""

    options: Options
    labels: dict[str, list[str]]
    """Of each head."""


SPACE: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(1e-5, 5e-4, log=True),
    "head_learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    "batch_size": CategoricalDistribution((16, 32, 64)),
    "warmup": FloatDistribution(0.0, 0.2),
    "weight_decay": FloatDistribution(1e-3, 0.1, log=True),
    "dropout": FloatDistribution(0.0, 0.3),
}
"""The options that are searched, within what has been of use for encoders of any size."""


class Pruning(TrainerCallback):
    """Ends a trial that after as many texts is behind the median of those before it."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        metrics: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        assert metrics is not None  # Trainer always gives them here
        # By texts seen, since trials differ in the size of their batches.
        texts = state.global_step * args.per_device_train_batch_size * args.gradient_accumulation_steps
        self._trial.report(metrics["eval_macro_f1"], texts)
        if self._trial.should_prune():
            raise optuna.TrialPruned


def tune(
    options: Options,
    configuration: Path,
    flags: Mapping[str, Any],
    trials: int,
    *,
    report: Callable[[str], None],
) -> Found:
    """Search until `trials` are done, those of earlier calls counted; write the best options.

    `flags` were laid over the configuration, and are written beside what was found. Test rows have no say
    in it, and no checkpoint is kept: train with the file that it writes. Raises `ConfigurationError` where earlier
    calls searched with other options.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    options.output.mkdir(parents=True, exist_ok=True)
    _require_same_search(options)
    study = optuna.create_study(
        study_name=options.name,
        storage=JournalStorage(JournalFileBackend(str(options.output / JOURNAL))),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
        direction="maximize",
        load_if_exists=True,
    )
    done = len(study.get_trials(deepcopy=False))
    # A search that goes on must not draw again what it drew before.
    study.sampler = optuna.samplers.TPESampler(seed=options.seed + done)
    if not study.get_trials(deepcopy=False, states=(*_DONE, TrialState.WAITING)):
        # What is there already is the first to beat, also where its trial was interrupted.
        study.enqueue_trial({name: getattr(options, name) for name in SPACE if _fits(name, options)})
    while len(study.get_trials(deepcopy=False, states=_DONE)) < trials:
        trial = study.ask(SPACE)
        score = _try(options, trial)
        study.tell(trial, score, state=None if score is not None else TrialState.PRUNED)
        value = "pruned" if score is None else f"{score:.4f}"
        report(f"trial {trial.number + 1}: {value}  {_spell(trial.params)}")
    path = options.output / BEST
    base = os.path.relpath(configuration.resolve(), path.parent.resolve())
    best = {"base": base, **_kept(options, flags), **study.best_params}
    path.write_text(yaml.safe_dump(best, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return Found(study.best_value, path, len(study.get_trials(deepcopy=False, states=_DONE)))


def _try(options: Options, trial: optuna.Trial) -> float | None:
    """The best macro-F1 of a trial; None where it was given up."""
    folder = options.output / "trials" / str(trial.number)
    try:
        trainer = prepare(
            options.model_copy(update={**trial.params, "output": folder}), [Pruning(trial)]
        ).trainer
        trainer.train()
        return float(trainer.state.best_metric or 0.0)
    except optuna.TrialPruned:
        return None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fits(name: str, options: Options) -> bool:
    value, space = getattr(options, name), SPACE[name]
    if isinstance(space, CategoricalDistribution):
        return value in space.choices
    assert isinstance(space, FloatDistribution)
    return bool(space.low <= value <= space.high)


def _require_same_search(options: Options) -> None:
    """Raise `ConfigurationError` where the trials that are there were tried with other options or labels."""
    file = options.output / BEGUN
    now = Begun(options=options, labels={head.name: list(head.labels) for head in resolve_heads(options)})
    if not (options.output / JOURNAL).exists():
        file.write_text(now.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return
    try:
        begun = Begun.model_validate_json(file.read_bytes())
    except (FileNotFoundError, ValidationError) as error:
        raise ConfigurationError(
            f"{file} does not say what the search in {options.output} was begun with: name another OUTPUT"
        ) from error
    others = differences(begun.options, begun.labels, options)
    if others:
        raise ConfigurationError(
            f"{options.output} has a search with other {', '.join(others)}, whose trials say nothing of these: "
            f"give those of {file}, or name another OUTPUT"
        )


def _kept(options: Options, flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags as they stand in a file, wherever it lies and is used: with every path in them absolute."""
    names = set(flags) - {"output"}
    kept = options.model_dump(exclude_unset=True, include=names)
    for data in kept.get("data", []):
        data["files"] = {part: options.data_root / file for part, file in data["files"].items()}
    return {name: _plain(value) for name, value in resolved(kept).items()}


def _plain(value: Any) -> Any:
    """The value as YAML has it."""
    match value:
        case Path():
            return str(value)
        case dict():
            return {key: _plain(one) for key, one in value.items()}
        case list():
            return [_plain(one) for one in value]
    return value


def _spell(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
    )
