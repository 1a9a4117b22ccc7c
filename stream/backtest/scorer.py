"""Scores the raw events of a backtest, and remembers the judgements on disk: the second run need not score again.

A judgement is kept under the bundle's hash and its question as the model reads it, so another bundle never finds
it, nor a version of Downtick that reads otherwise.
"""

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter

from stream.bundle import Bundle, load_bundle
from stream.command import UsageError
from stream.engine.engine import Engine, Result
from stream.engine.judgement import Judgement, Question
from stream.names import places
from stream.reading import Reading
from stream.settings import Settings

_JUDGING = 2
"""Part of the key; raised where the engine answers the same question otherwise."""
_JUDGEMENT: TypeAdapter[Judgement] = TypeAdapter(Judgement)
_TABLE = """
CREATE TABLE IF NOT EXISTS judgements (
    bundle TEXT, question BLOB, judgement BLOB, PRIMARY KEY (bundle, question)
) WITHOUT ROWID
"""
_INSERT = "INSERT OR REPLACE INTO judgements VALUES (?, ?, ?)"


class Scorer:
    """The settings' bundle, loaded when it is needed, behind a cache."""

    def __init__(self, settings: Settings, cache: Path | None = None) -> None:
        """`cache` is a file, made if absent; whatever it is used for raises `UsageError` where it cannot be."""
        self._settings = settings
        self._bundle: Bundle | None = None
        self._engine: Engine | None = None
        self._cache: sqlite3.Connection | None = None
        self._file = cache
        if cache is not None:
            with self._cache_errors():
                cache.parent.mkdir(parents=True, exist_ok=True)
                self._cache = sqlite3.connect(cache)
                self._cache.execute(_TABLE)
                # Before the work, which may take long; a cache that can only be read is found by trying.
                self._cache.execute(_INSERT, ("", b"", b""))
                self._cache.rollback()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._cache is not None:
            self._cache.close()
        if self._engine is not None:
            self._engine.close()

    @property
    def bundle(self) -> Bundle:
        """The bundle that judges."""
        if self._bundle is None:
            self._bundle = load_bundle(self._settings.bundle)
        return self._bundle

    def judge(self, questions: Sequence[Question]) -> list[Result]:
        """Judgements in the order of the questions."""
        reading = self.bundle.manifest.reading
        judging = (_JUDGING, self._settings.engine.passages)
        keys = [_key(question, reading, judging) for question in questions]
        known: dict[bytes, Result] = {key: found for key in keys if (found := self._look_up(key))}
        wanted = {key: one for key, one in zip(keys, questions, strict=True) if key not in known}
        if wanted:
            fresh = dict(zip(wanted, self._running().judge(list(wanted.values())), strict=True))
            known |= fresh
            self._remember({key: one for key, one in fresh.items() if isinstance(one, Judgement)})
        return [known[key] for key in keys]

    def _look_up(self, key: bytes) -> Judgement | None:
        if self._cache is None:
            return None
        with self._cache_errors():
            row = self._cache.execute(
                "SELECT judgement FROM judgements WHERE bundle = ? AND question = ?", (self.bundle.hash, key)
            ).fetchone()
        return _JUDGEMENT.validate_json(zlib.decompress(row[0])) if row else None

    def _remember(self, judgements: dict[bytes, Judgement]) -> None:
        if self._cache is None:
            return
        with self._cache_errors(), self._cache:
            self._cache.executemany(
                _INSERT,
                [
                    (self.bundle.hash, key, zlib.compress(_JUDGEMENT.dump_json(judgement)))
                    for key, judgement in judgements.items()
                ],
            )

    @contextmanager
    def _cache_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise UsageError(
                f"cannot use {self._file} as a cache: {error}; go without by --no-cache"
            ) from error

    def _running(self) -> Engine:
        if self._engine is None:
            self._engine = Engine(self.bundle, self._settings.engine)
            self._engine.load()
        return self._engine


def _key(question: Question, reading: Reading, judging: tuple[int, int]) -> bytes:
    read = reading(question.text, [places(question.text, names) for names in question.entities])
    text = json.dumps([judging, *read, question.entities], ensure_ascii=False)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
