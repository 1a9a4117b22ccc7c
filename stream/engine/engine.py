"""The engine: texts in, judgements out, in the order of arrival."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from stream.bundle import Bundle
from stream.drift import aspects
from stream.engine.batching import plan
from stream.engine.cache import JudgementCache
from stream.engine.encoding import Encoding, rows_held
from stream.engine.errors import EngineError, ModelError, TokenizerError
from stream.engine.judgement import Judgement, JudgementError, Question, judgements
from stream.engine.passages import passages
from stream.engine.session import Logits, Provider, Session
from stream.engine.tokens import BundleTokenizer
from stream.settings import EngineSettings

Result = Judgement | JudgementError

READ_AT_ONCE = 32
"""Texts that are cut into tokens together: who watches sees that many long ones take long, and not for ever."""


class EngineObserver(Protocol):
    """Is told what the engine does, in its thread; the metrics implement it."""

    def batch_ran(self, texts: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        """The model answered a batch; `padded_tokens` counts the padding, `tokens` does not."""

    def cache_looked_up(self, hits: int, misses: int) -> None:
        """So many texts had been judged before, or stood in the same call already; so many had not."""

    def text_judged(self, aspects: dict[str, list[str]]) -> None:
        """A text that was not known was judged; its aspects are those of `stream/drift.py`."""

    def text_failed(self) -> None:
        """One text makes the tokenizer or the model fail."""


class Engine:
    """Judges texts by a bundle, on one thread of its own.

    `load` before the first judgement, `close` after the last. `judge` is for one caller at a time;
    `judge_async` queues.
    """

    def __init__(
        self, bundle: Bundle, settings: EngineSettings, observer: EngineObserver | None = None
    ) -> None:
        self.bundle = bundle
        self._settings = settings
        self._observer = observer
        self._cache = JudgementCache(settings.cache_texts)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._tokenizer: BundleTokenizer | None = None
        self._session: Session | None = None
        self.steps = 0
        """How often it got on: parts of a window read, batches answered."""

    @property
    def provider(self) -> Provider:
        """The device that the session really has."""
        return self._loaded()[1].provider

    @property
    def threads(self) -> int:
        """CPU threads of the session."""
        return self._loaded()[1].threads

    def load(self) -> None:
        """Read the tokenizer, open the session, warm it up; takes seconds.

        Raises `BundleError` where model, tokenizer and manifest do not agree, `ProviderError` where
        a required device is not there, `ModelError` where the device cannot hold the model.
        """
        self._tokenizer = BundleTokenizer(self.bundle)
        self._session = Session(self.bundle, self._settings)

    def judge(self, questions: Sequence[Question]) -> list[Result]:
        """Judge texts and the entities in them; the results stand in the same order.

        A text that fails gets a `JudgementError` in its place, and the others are judged all the
        same. Raises `ModelError` when the model no longer answers whatever the text.
        """
        self._loaded()
        results: dict[Question, Result] = {}
        unknown = []
        for question in dict.fromkeys(questions):
            known = self._cache.get(question)
            if known is None:
                unknown.append(question)
            else:
                results[question] = known
        if self._observer and questions:
            self._observer.cache_looked_up(len(questions) - len(unknown), len(unknown))
        for question, result in zip(unknown, self._judge_unknown(unknown), strict=True):
            results[question] = result
            if isinstance(result, Judgement):
                self._cache.put(question, result)
        return [results[question] for question in questions]

    async def judge_async(self, questions: Sequence[Question]) -> list[Result]:
        """`judge` in the engine's thread, while the event loop goes on."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self.judge, questions)

    def close(self, *, drop_queued: bool = True) -> None:
        """Wait for the batch that runs, drop what is queued or wait for that too, and free the model."""
        self._executor.shutdown(wait=True, cancel_futures=drop_queued)
        self._session = None
        self._tokenizer = None

    def _loaded(self) -> tuple[BundleTokenizer, Session]:
        if self._tokenizer is None or self._session is None:
            raise EngineError("the engine is not loaded")
        return self._tokenizer, self._session

    def _judge_unknown(self, questions: list[Question]) -> list[Result]:
        """Judge questions that are all different and not in the cache, companies named late in long texts too."""
        results, encodings = self._judge_beginnings(questions, whole=True)
        asked: list[tuple[int, Question, tuple[int, ...]]] = []
        if any(head.scope == "entity" for head in self.bundle.manifest.heads):
            limits = self.bundle.manifest.maximum_tokens, self._settings.passages
            for index, (question, encoding) in enumerate(zip(questions, encodings, strict=True)):
                if isinstance(encoding, Encoding):
                    asked += [(index, *passage) for passage in passages(question, encoding, *limits)]
        unique = list(dict.fromkeys(passage for _, passage, _ in asked))
        answers = dict(zip(unique, self._judge_beginnings(unique, whole=False)[0], strict=True))
        for index, passage, entities in asked:
            text, answer = results[index], answers[passage]
            if isinstance(text, Judgement) and isinstance(answer, Judgement):
                found = dict(zip(entities, answer.entities, strict=True))
                towards = tuple(found.get(number, own) for number, own in enumerate(text.entities))
                results[index] = Judgement(text.verdicts, towards)
        return results

    def _judge_beginnings(
        self, questions: list[Question], *, whole: bool
    ) -> tuple[list[Result], list[Encoding | JudgementError]]:
        """Judge as many tokens of each as the model reads; also what it read. `whole`: texts, no passages."""
        _, session = self._loaded()
        results: dict[int, Result] = {}
        parts = (questions[start : start + READ_AT_ONCE] for start in range(0, len(questions), READ_AT_ONCE))
        encodings = [encoding for part in parts for encoding in self._read(part)]
        readable: list[tuple[int, Encoding]] = []
        for index, encoding in enumerate(encodings):
            if isinstance(encoding, JudgementError):
                results[index] = self._failed(encoding)
            else:
                readable.append((index, encoding))
        batches = plan(
            [len(encoding.ids) for _, encoding in readable],
            tokens=self._settings.batch_tokens,
            texts=self._settings.batch_texts,
            multiple=session.multiple,
            run_tokens=session.run_tokens,
            rows=rows_held([encoding for _, encoding in readable], self.bundle.manifest.heads),
        )
        for batch in batches:
            indices = [readable[member][0] for member in batch]
            read = [readable[member][1] for member in batch]
            judged = self._judge_batch(read)
            results.update(zip(indices, judged, strict=True))
            if whole:
                self._tell_aspects([questions[index].text for index in indices], read, judged)
        return [results[index] for index in range(len(questions))], encodings

    def _tell_aspects(
        self, texts: Sequence[str], encodings: Sequence[Encoding], results: Sequence[Result]
    ) -> None:
        if self._observer is None:
            return
        unknown = self._loaded()[0].unknown_id
        for text, encoding, result in zip(texts, encodings, results, strict=True):
            if isinstance(result, Judgement):
                heads = self.bundle.manifest.heads
                self._observer.text_judged(aspects(text, encoding.ids, unknown, result, heads))

    def _read(self, questions: list[Question]) -> list[Encoding | JudgementError]:
        found = self._encode(questions)
        self.steps += 1
        return found

    def _encode(self, questions: list[Question]) -> list[Encoding | JudgementError]:
        tokenizer, _ = self._loaded()
        try:
            return list(tokenizer.encode(questions))
        except TokenizerError as error:
            if len(questions) == 1:
                return [JudgementError(f"the tokenizer fails on this text: {error}")]
        return [encoding for question in questions for encoding in self._encode([question])]

    def _judge_batch(self, batch: list[Encoding]) -> list[Result]:
        """Judge encoded texts together; one by one where together fails."""
        _, session = self._loaded()
        try:
            return self._run(session, batch)
        except ModelError as error:
            if len(batch) == 1:
                # Only blame the text while the model still answers another: a device that is lost
                # must stop the engine, and not turn every text into an error.
                session.probe()
                return [self._failed(JudgementError(f"the model fails on this text: {error}"))]
        return [result for encoding in batch for result in self._judge_batch([encoding])]

    def _run(self, session: Session, batch: list[Encoding]) -> list[Result]:
        # An entity that no token spells is not asked for.
        placed = [[bool(positions) for positions in one.entities] for one in batch]
        asked = [Encoding(one.ids, [positions for positions in one.entities if positions]) for one in batch]
        started = time.perf_counter()
        logits, width = session.run(asked)
        seconds = time.perf_counter() - started
        self.steps += 1
        if self._observer:
            tokens = sum(len(one.ids) for one in batch)
            self._observer.batch_ran(len(batch), tokens, width * len(batch), seconds)
        return self._answers(logits, placed)

    def _answers(self, logits: Logits, placed: list[list[bool]]) -> list[Result]:
        """Judgements, with an error in the place of a text any of whose answers is not a number."""
        owners = np.repeat(np.arange(len(placed)), [sum(flags) for flags in placed])
        finite = np.ones(len(placed), dtype=bool)
        scopes = {head.name: head.scope for head in self.bundle.manifest.heads}
        for name, rows in logits.items():
            wrong = ~np.isfinite(rows).all(axis=1)
            finite[owners[wrong] if scopes[name] == "entity" else wrong] = False
        kept = {
            name: rows[finite[owners] if scopes[name] == "entity" else finite]
            for name, rows in logits.items()
        }
        fine_flags = [flags for flags, fine in zip(placed, finite.tolist(), strict=True) if fine]
        judged = iter(judgements(self.bundle.manifest.heads, kept, fine_flags))
        return [
            next(judged) if fine else self._failed(JudgementError("the model's answer is not a number"))
            for fine in finite.tolist()
        ]

    def _failed(self, error: JudgementError) -> JudgementError:
        if self._observer:
            self._observer.text_failed()
        return error
