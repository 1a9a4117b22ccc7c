"""A power cut in the middle of a training run, and what tells whether two models are one."""

from typing import Any

import torch
from transformers import TrainerCallback


class InterruptedRunError(Exception):
    """Stands for a power cut."""


class PowerCut(TrainerCallback):
    """Ends the process's work right after an update, as a kill would."""

    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, _arguments: Any, state: Any, _control: Any, **_: Any) -> None:
        if state.global_step == self.step:
            raise InterruptedRunError


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
