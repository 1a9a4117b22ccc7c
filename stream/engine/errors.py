"""What can go wrong with the engine.

    EngineError         the engine cannot work; the message says why and what to do
    ├── ProviderError   the session does not run where the settings require it to
    ├── TokenizerError  the tokenizer cannot read a text
    └── ModelError      the model does not answer
    JudgementError      one text could not be judged; returned in its place, never raised

A model that does not agree with its manifest is a `stream.bundle.BundleError`.
"""

from dataclasses import dataclass


class EngineError(Exception):
    """The engine cannot work; the message says why and what to do."""


class ProviderError(EngineError):
    """The session does not run where the settings require it to."""


class TokenizerError(EngineError):
    """The tokenizer cannot read a text."""


class ModelError(EngineError):
    """A run of the model failed."""


@dataclass(frozen=True, slots=True)
class JudgementError:
    """Stands where a text's judgement would: this text makes the tokenizer or the model fail."""

    reason: str
