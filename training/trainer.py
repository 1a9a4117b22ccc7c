"""Fine-tuning: Hugging Face's Trainer with our loss, our evaluation and our checkpoints."""

import logging
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from transformers import (
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_callback import CallbackHandler

from stream.bundle import ENTITY_INPUTS, TEXT_INPUTS
from stream.evaluation.prediction import Logits
from stream.evaluation.scores import multi_scores, sigmoid, single_scores
from training.batches import Encoded, Passes, collate
from training.configuration import Head, Options
from training.consistency import disagreement_loss
from training.distillation import Teachers
from training.losses import multi_label_loss, single_label_loss
from training.model import Classifier, Description, save_checkpoint
from training.prediction import predict

logger = logging.getLogger(__name__)

LOSSES = {"single": single_label_loss, "multi": multi_label_loss}


def total_loss(logits: dict[str, Tensor], batch: dict[str, Tensor], heads: Sequence[Head]) -> Tensor:
    """The heads' losses, weighted by head and by set, per text of the batch."""
    weights = batch["weight"]
    total = torch.zeros((), device=weights.device)
    for head in heads:
        if head.name not in logits:
            continue
        loss = LOSSES[head.kind](
            logits[head.name].float(), batch[f"{head.name}.allowed"], batch[f"{head.name}.possible"]
        )
        of_rows = weights[batch["entity_text"]] if head.scope == "entity" else weights
        total = total + head.weight * (loss * of_rows.to(loss.dtype)).sum()
    return total / len(weights)


def validation_scores(logits: Logits, encoded: Encoded, heads: Sequence[Head]) -> dict[str, float]:
    """Macro-F1 per head and their mean, `macro_f1`, which training selects by."""
    scores = {}
    for head in heads:
        allowed, possible = encoded.masks[head.name]
        exact = logits[head.name].astype(np.float64)
        found = (
            single_scores(exact, allowed, possible, head.labels)
            if head.kind == "single"
            else multi_scores(sigmoid(exact), np.full(len(head.labels), 0.5), allowed, possible, head.labels)
        )
        if found:
            scores[f"{head.name}_macro_f1"] = found["macro_f1"]
    scores["macro_f1"] = float(np.mean(list(scores.values()))) if scores else 0.0
    return scores


class CountPasses(TrainerCallback):
    """Tells the rows which pass over them begins."""

    def __init__(self, rows: Encoded) -> None:
        self.rows = rows

    def on_epoch_begin(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **_: Any,
    ) -> None:
        self.rows.epoch = int((state.epoch or 0) + 1e-6)


class FineTuner(Trainer):
    """Trainer that knows partial labels, and saves what `load_checkpoint` reads."""

    def __init__(
        self,
        *,
        model: Classifier,
        options: Options,
        heads: Sequence[Head],
        tokenizer: Tokenizer,
        description: Description,
        train: Encoded,
        valid: Encoded,
        teachers: Teachers | None,
        callbacks: list[TrainerCallback],
    ) -> None:
        self.options = options
        self.teachers = teachers
        self.classifier = model
        self.classifier_heads = heads
        self.tokenizer = tokenizer
        self.description = description
        self.valid = valid
        arguments = training_arguments(options)
        judges: list[TrainerCallback] = [EarlyStoppingCallback(options.patience)]
        if not any(possible.any() for _, possible in valid.masks.values()):
            logger.warning(
                "no validation row has a label, so the last checkpoint is kept whatever it is worth;"
                " raise `valid_share`, or name more rows"
            )
            arguments.load_best_model_at_end = False
            judges = []
        super().__init__(
            model=model,
            args=arguments,
            data_collator=partial(collate, padding_id=description.padding_id, taught=teachers is not None),
            train_dataset=train,
            eval_dataset=valid,
            callbacks=[*judges, CountPasses(train), *callbacks],
        )
        self.add_callback(Freeze(model, options, self.callback_handler))

    def _get_train_sampler(self, train_dataset: Any = None) -> Passes:  # noqa: ARG002
        # The rows that arrive are those that were given; Trainer's own sampler draws anew after an interruption.
        rows, arguments = cast("Encoded", self.train_dataset), self.args
        return Passes(
            rows, arguments.train_batch_size * arguments.gradient_accumulation_steps, arguments.seed
        )

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,  # noqa: FBT001, FBT002
        num_items_in_batch: Tensor | int | None = None,  # noqa: ARG002
    ) -> Any:
        asked = {name: inputs[name] for name in TEXT_INPUTS + ENTITY_INPUTS if name in inputs}
        known = {}
        if self.teachers is not None:
            with self.accelerator.autocast():
                known = self.teachers.answers(inputs)
        logits: dict[str, Tensor] = model(**asked)
        loss = self._cost(logits, inputs, known)
        if self.options.consistency:
            again = model(**asked)
            apart = disagreement_loss(logits, again, inputs, self.classifier_heads)
            loss = (loss + self._cost(again, inputs, known)) / 2 + self.options.consistency * apart
        return (loss, logits) if return_outputs else loss

    def _cost(self, logits: dict[str, Tensor], inputs: dict[str, Tensor], known: dict[str, Tensor]) -> Tensor:
        """What answers cost by the labels, and by those that teachers gave."""
        loss = total_loss(logits, inputs, self.classifier_heads)
        if self.teachers is None:
            return loss
        share = self.options.teacher_share
        return (1 - share) * loss + share * self.teachers.loss(logits, inputs, known)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:  # noqa: ARG002
        """AdamW; the heads start from nothing and learn faster, norms and biases do not decay."""
        if self.optimizer is None:
            decaying = set(self.get_decay_parameter_names(self.classifier))
            groups: dict[tuple[float, float], list[nn.Parameter]] = {}
            for name, parameter in self.classifier.named_parameters():
                of_head = name.startswith("heads.")
                rate = self.options.head_learning_rate if of_head else self.options.learning_rate
                decay = self.options.weight_decay if name in decaying else 0.0
                groups.setdefault((rate, decay), []).append(parameter)
            self.optimizer = torch.optim.AdamW(
                [
                    {"params": parameters, "lr": rate, "weight_decay": decay}
                    for (rate, decay), parameters in groups.items()
                ],
                fused=True,
            )
        return self.optimizer

    def predict_rows(self, encoded: Encoded) -> Logits:
        """Logits of all rows, in the precision of training."""
        with self.accelerator.autocast():
            return predict(
                self.classifier,
                self.description.heads,
                encoded.encodings,
                self.description.padding_id,
                4 * self.options.batch_size,
            )

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Scores on the validation rows, under the names that Trainer selects by."""
        found = validation_scores(self.predict_rows(self.valid), self.valid, self.classifier_heads)
        scores = {f"eval_{name}": score for name, score in found.items()}
        self.log(scores)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, scores)
        return scores

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        save_checkpoint(
            Path(output_dir or self.options.output / "checkpoints"),
            self.classifier,
            self.tokenizer,
            self.description,
        )


class Freeze(TrainerCallback):
    """Lets the heads learn alone for the first passes, only some of them if others are to stay as they are, and
    the embeddings never if they are not to.

    What a random head would have the encoder do is noise, which few examples never mend. Early stopping pauses
    meanwhile, and holds for a run that goes on after it.
    """

    def __init__(self, model: Classifier, options: Options, handler: CallbackHandler) -> None:
        self.model = model
        self.options = options
        self.handler = handler

    @property
    def _judges(self) -> list[EarlyStoppingCallback]:
        # Asked for each time: a run that goes on has another one in its place.
        return [one for one in self.handler.callbacks if isinstance(one, EarlyStoppingCallback)]

    def on_train_begin(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,  # noqa: ARG002
        control: TrainerControl,
        **_: Any,
    ) -> None:
        # Trainer looks at it after the next update, and takes the best checkpoint as it would have.
        control.should_training_stop = any(
            judge.early_stopping_patience_counter >= judge.early_stopping_patience for judge in self._judges
        )

    def on_step_begin(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **_: Any,
    ) -> None:
        encoder = self.model.encoder
        if self.options.learning_heads:
            self.model.requires_grad_(requires_grad=False)
            for parameter in self.model.of_heads(self.options.learning_heads):
                parameter.requires_grad = True
            return
        frozen = (state.epoch or 0) < self.options.frozen_epochs
        encoder.requires_grad_(requires_grad=not frozen)
        if frozen:
            # That the heads alone get no better is no reason to stop before the encoder learns.
            for judge in self._judges:
                judge.early_stopping_patience_counter = 0
        if self.options.freeze_embeddings:
            encoder.get_input_embeddings().requires_grad_(requires_grad=False)


class Board(TrainerCallback):
    """Writes what Trainer logs for TensorBoard."""

    def __init__(self, folder: Path) -> None:
        self.writer = SummaryWriter(str(folder))

    def on_log(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        for name, value in (logs or {}).items():
            if isinstance(value, int | float):
                group = "valid" if name.startswith("eval_") else "train"
                self.writer.add_scalar(f"{group}/{name.removeprefix('eval_')}", value, state.global_step)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.writer.close()


def native_bf16() -> bool:
    """Whether the device computes in bfloat16 itself, rather than by detours that cost time."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # PyTorch has no public name for it.
    flags = Path("/proc/cpuinfo")
    return flags.exists() and "avx512_bf16" in flags.read_text(encoding="utf-8")


def training_arguments(options: Options) -> TrainingArguments:
    """Our options in Trainer's words."""
    on_cpu = options.device == "cpu" or not torch.cuda.is_available()
    precision = options.precision
    if precision == "auto":
        precision = "bf16" if native_bf16() else "fp32" if on_cpu else "fp16"
    arguments = TrainingArguments(
        output_dir=str(options.output / "checkpoints"),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size,
        gradient_accumulation_steps=options.gradient_accumulation,
        learning_rate=options.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=options.warmup,
        max_grad_norm=options.gradient_norm,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=on_cpu,
        seed=options.seed,
        eval_strategy="steps",
        eval_steps=options.evaluate_every,
        save_strategy="steps",
        save_steps=options.evaluate_every,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="macro_f1",
        greater_is_better=True,
        logging_steps=max(1, options.evaluate_every // 10),
        remove_unused_columns=False,
        dataloader_pin_memory=not on_cpu,
        report_to="none",
        restore_callback_states_from_checkpoint=True,
    )
    if arguments.n_gpu > 1:
        # Trainer would cut each batch for them, and the entities elsewhere than their texts.
        arguments._n_gpu = 1  # noqa: SLF001  # it has no public way to leave a GPU alone
    return arguments


def last_checkpoint(output: Path) -> Path | None:
    """The newest complete checkpoint of an interrupted run; half-written ones are removed."""
    found = []
    for folder in (output / "checkpoints").glob("checkpoint-*"):
        # Trainer writes its state last.
        if (folder / "trainer_state.json").is_file():
            found.append(folder)
        else:
            shutil.rmtree(folder)
    return max(found, key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)
