"""The words behind an alert: what the model says of its worst events without each of their words."""

import asyncio
import logging
from collections import OrderedDict

from stream.bundle import Bundle
from stream.engine.engine import Engine
from stream.engine.errors import EngineError
from stream.engine.tokens import BundleTokenizer
from stream.explanation.occlusion import explain
from stream.explanation.words import words
from stream.records import Alert, AlertState
from stream.settings import EngineSettings
from stream.text import normalise

_WORDS = 5
_LEAST_CHANGE = 0.02
"""A word that moves the probability by less has not driven it."""
_REMEMBERED = 512

logger = logging.getLogger(__name__)


class EvidenceExplainer:
    """Names the words in an alert's evidence that speak most for it being negative.

    It has a session of its own, of one thread: what it asks is not of the stream, and is to show neither in
    the engine's metrics nor in its cache, nor to hold up its batches. `load` before the first alert, `close` after
    the last.
    """

    def __init__(self, bundle: Bundle, settings: EngineSettings, events: int) -> None:
        """`events`: how many of the worst are explained."""
        self._engine = Engine(bundle, settings.model_copy(update={"threads": 1}))
        self._tokenizer = BundleTokenizer(bundle)
        self._events = events
        self._known: OrderedDict[str, list[str]] = OrderedDict()

    def load(self) -> None:
        """Open the session; raises as `Engine.load` does."""
        self._engine.load()

    def close(self) -> None:
        """Wait for what is asked, and free the model."""
        self._engine.close()

    async def explained(self, alert: Alert) -> Alert:
        """The alert with the words; as it is while it is pending, or where the model fails."""
        if alert.state is AlertState.PENDING:
            return alert
        evidence = list(alert.evidence)
        for index, event in enumerate(evidence[: self._events]):
            spoken = await self._words(event.excerpt)
            evidence[index] = event.model_copy(update={"words": spoken})
        return alert.model_copy(update={"evidence": evidence})

    async def _words(self, excerpt: str) -> list[str]:
        if excerpt not in self._known:
            try:
                self._known[excerpt] = await asyncio.to_thread(self._explain, excerpt)
            except (EngineError, ValueError) as error:
                logger.warning("an alert goes without the words behind it: %s", error)
                return []
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(excerpt)
        return self._known[excerpt]

    def _explain(self, excerpt: str) -> list[str]:
        text = normalise(excerpt.removesuffix("…"))
        found = words(text, self._tokenizer.offsets(text))
        if not found:
            return []
        explanation = explain(text, found, self._engine.judge, label="negative")
        strongest = [one for one in explanation.strongest(_WORDS) if one.change >= _LEAST_CHANGE]
        return list(dict.fromkeys(one.word for one in strongest))
