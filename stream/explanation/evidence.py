"""The words behind an alert: what the model says of its worst events without each of their words."""

import asyncio
import logging
import math
import time

from stream.bundle import Bundle
from stream.engine.engine import Engine
from stream.engine.tokens import BundleTokenizer
from stream.explanation.occlusion import explain
from stream.explanation.words import words
from stream.labels import ENTITY_SUBJECT
from stream.names import places
from stream.records import Alert, AlertState, Mention
from stream.settings import EngineSettings, ProviderSetting
from stream.text import normalise
from stream.watchlist import Watchlist, names_of, subject_of

_WORDS = 5
_LEAST_CHANGE = 0.3
"""In log-odds, since the worst events are those of which the model is all but sure."""
_REMEMBERED = 512
_SETTINGS = EngineSettings(threads=1, batch_tokens=1024, batch_texts=32)
_SURE = 1e-6

Names = tuple[str, ...]

logger = logging.getLogger(__name__)


class EvidenceExplainer:
    """Names the words in an alert's evidence that speak most for it being negative.

    It has a session of its own, of one thread where it runs on the CPU: what it asks is not of the stream, and is
    to show neither in the engine's metrics nor in its cache, nor to hold up its batches. `load` before the first
    alert, `close` after the last.
    """

    def __init__(
        self, bundle: Bundle, watchlist: Watchlist, events: int, provider: ProviderSetting = "cpu"
    ) -> None:
        """`watchlist` knows the companies' names; `events`: how many of the worst are explained.

        An INT8 bundle runs on the CPU whatever the `provider`; others take twice as long there.
        """
        runs_on = "cpu" if bundle.manifest.precision == "int8" else provider
        self._engine = Engine(bundle, _SETTINGS.model_copy(update={"provider": runs_on}))
        self._tokenizer = BundleTokenizer(bundle)
        self._watchlist = watchlist
        self._events = events
        self._known: dict[tuple[str, Names], list[str]] = {}

    def load(self) -> None:
        """Open the session; raises as `Engine.load` does."""
        self._engine.load()

    def close(self) -> None:
        """Wait for what is asked, and free the model."""
        self._engine.close()

    async def explained(self, alert: Alert, *, until: float = math.inf) -> Alert:
        """The alert with the words, as far as they are found before `until` (by `time.monotonic`).

        As it is where it does not fire or is muted, or where the model fails. A company's alert has the words that
        speak against the company, where the text has one of its names, else those of the text, as it was scored.
        """
        if alert.state is not AlertState.FIRING or alert.muted:
            return alert
        evidence = list(alert.evidence)
        for index, event in enumerate(evidence[: self._events]):
            try:
                found = await self._words(event.excerpt, alert.subject, until)
            except Exception as error:  # noqa: BLE001  # an alert must go out whatever is wrong with its words
                logger.warning("an alert goes without the words behind it: %s", error)
            else:
                evidence[index] = event.model_copy(update={"words": found})
        return alert.model_copy(update={"evidence": evidence})

    async def _words(self, excerpt: str, subject: str, until: float) -> list[str]:
        text = normalise(excerpt.removesuffix("…"))
        listed = {subject_of(mention): mention for mention in self._watchlist.find(text)}
        mention = listed.pop(subject, None)
        company = self._watchlist.names_of(mention) if mention else _named(subject, text)
        if (text, company) not in self._known and time.monotonic() < until:
            others = [self._watchlist.names_of(other) for other in listed.values()]
            self._known[text, company] = await asyncio.to_thread(self._explain, text, company, others)
            if len(self._known) > _REMEMBERED:
                del self._known[next(iter(self._known))]
        return self._known.get((text, company), [])

    def _explain(self, text: str, company: Names, others: list[Names]) -> list[str]:
        found = words(text, self._tokenizer.offsets(text))
        if not found:
            return []
        explanation = explain(
            text, found, self._engine.judge, entity=company, others=others, label="negative"
        )
        whole = explanation.probabilities["negative"]
        changes = [(_log_odds(whole) - _log_odds(whole - one.change), one) for one in explanation.influences]
        strongest = sorted(changes, key=lambda pair: -pair[0])[:_WORDS]
        return list(dict.fromkeys(one.word for change, one in strongest if change >= _LEAST_CHANGE))


def _named(subject: str, text: str) -> Names:
    """What a text names a company by that is on no list: its ticker, or the name that it has for want of one."""
    name = subject.removeprefix(ENTITY_SUBJECT)
    # Unchecked: folded, a name may be longer than events may have it.
    names = names_of(Mention.model_construct(name=name, ticker=name if name.isupper() else None))
    return names if subject.startswith(ENTITY_SUBJECT) and places(text, names) else ()


def _log_odds(probability: float) -> float:
    inside = min(max(probability, _SURE), 1 - _SURE)
    return math.log(inside / (1 - inside))
