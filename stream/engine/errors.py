"""What can go wrong with the engine.

    EngineError         the engine cannot work; the message says why and what to do
    ├── ProviderError   the session does not run where the settings require it to
    ├── TokenizerError  the tokenizer cannot read a text
    └── ModelError      the model does not answer

A model that does not agree with its manifest is a `stream.bundle.BundleError`. A text that cannot be
judged raises nothing: a `JudgementError` stands where its judgement would.
"""


class EngineError(Exception):
    """The engine cannot work; the message says why and what to do."""


class ProviderError(EngineError):
    """The session does not run where the settings require it to."""


class TokenizerError(EngineError):
    """The tokenizer cannot read a text."""


class ModelError(EngineError):
    """A run of the model failed."""
