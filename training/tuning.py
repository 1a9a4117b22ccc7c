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
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.configuration import Options
from training.run import prepare

JOURNAL = "tuning.log"
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
    in it, and no checkpoint is kept: train with the file that it writes.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    options.output.mkdir(parents=True, exist_ok=True)
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
    kept = {name: _plain(value) for name, value in flags.items() if name != "output"}
    best = {"base": base, **kept, **study.best_params}
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


def _plain(value: Any) -> Any:
    # Some paths in a file are relative to the file, others to where it is run.
    return str(value.resolve()) if isinstance(value, Path) else value


def _spell(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
    )
