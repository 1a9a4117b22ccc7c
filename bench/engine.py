"""Texts per second by length: the engine against a bare session.

    python -m bench.engine [--bundle DIR] [--against DIR] [--texts 256] [--companies N] [--threads N]
                           [--provider cpu|cuda]

Both are timed in the same run. The difference is what the engine adds: the cache, tokenising,
planning, padding, and the heads. With `--against` another bundle judges the same texts in turn, and the table says
how many times as many a second it judges, the median of five.
"""

import argparse
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime
from rich.console import Console
from rich.table import Table

from stream.bundle import Bundle, BundleError, default_bundle, load_bundle
from stream.engine.engine import Engine
from stream.engine.judgement import Question
from stream.engine.tokens import BundleTokenizer
from stream.settings import EngineSettings
from stream.text import normalise

WORDS = (  # noqa: SIM905
    "the regulator opened an inquiry into lender accounts on Tuesday shares slid after company cut "
    "its outlook for full year analysts had expected smaller loss from battery unit board named new "
    "chief financial officer 公司 公告 回购 股份 原材料 价格 上涨 毛利率 下滑 监管 部门 信息 披露 调查 "
    "券商 上调 目标价 订单 好于 预期"
).split()
LENGTHS: tuple[int | None, ...] = (16, 32, 64, None)
"""Tokens of each text, or of many lengths as news have them."""


TURNS = 5


class Recorder:
    """Counts what the engine runs."""

    def __init__(self) -> None:
        self.runs = self.tokens = self.padded = 0
        self.session_seconds = 0.0

    def batch_ran(self, texts: int, tokens: int, padded_tokens: int, seconds: float) -> None:  # noqa: ARG002
        """Add a batch up."""
        self.runs += 1
        self.tokens += tokens
        self.padded += padded_tokens
        self.session_seconds += seconds

    def cache_looked_up(self, hits: int, misses: int) -> None:  # noqa: ARG002
        """No text comes twice."""
        assert hits == 0

    def text_judged(self, aspects: dict[str, list[str]]) -> None:
        """What texts are like is not measured."""

    def text_failed(self) -> None:
        """No text of this benchmark may fail."""
        raise AssertionError


def make_texts(tokenizer: BundleTokenizer, count: int, length: int | None, seed: int) -> list[str]:
    """Texts of exactly so many tokens, or of a long-tailed mixture of lengths."""
    rng = random.Random(seed)
    texts = []
    for _ in range(count):
        wanted = length or min(90, int(rng.lognormvariate(3.4, 0.5)) + 6)
        words: list[str] = []
        while len(tokenizer.encode([Question(" ".join(words))])[0].ids) < wanted:
            words.append(rng.choice(WORDS))
        texts.append(normalise(" ".join(words)))
    return texts


class TimedSession(onnxruntime.InferenceSession):  # type: ignore[misc]
    """Adds up the time that passes inside ONNX Runtime."""

    seconds = 0.0

    def run(self, *arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return super().run(*arguments)
        finally:
            TimedSession.seconds += time.perf_counter() - started


def ask(text: str, companies: int) -> Question:
    """The question of a text, and of so many of its words as if they were companies."""
    words = list(dict.fromkeys(text.split()))[:companies]
    return Question(text, tuple((word,) for word in words))


def measure(
    bundle: Bundle, settings: EngineSettings, questions: Sequence[Question]
) -> tuple[float, float, Recorder]:
    """Seconds of the engine, those inside the session, and what it ran, for one window of texts."""
    recorder = Recorder()
    engine = Engine(bundle, settings, recorder)
    engine.load()
    TimedSession.seconds = 0.0
    started = time.perf_counter()
    engine.judge(questions)
    seconds = time.perf_counter() - started
    engine.close()
    return seconds, TimedSession.seconds, recorder


def ratio(bundle: Bundle, other: Bundle, settings: EngineSettings, questions: Sequence[Question]) -> float:
    """How many times as many texts a second `other` judges: each judges them in turn, on a machine with noise."""
    ratios = []
    for _ in range(TURNS):
        own, _, _ = measure(bundle, settings, questions)
        others, _, _ = measure(other, settings, questions)
        ratios.append(own / others)
    return statistics.median(ratios)


def main() -> None:
    """Measure each length and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--against", type=Path, help="another bundle, to compare its speed")
    parser.add_argument("--texts", type=int, default=256, help="texts per length")
    parser.add_argument("--companies", type=int, default=0, help="companies that each text names")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--provider", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--batch-tokens", type=int, default=EngineSettings().batch_tokens)
    parser.add_argument("--batch-texts", type=int, default=EngineSettings().batch_texts)
    arguments = parser.parse_args()
    settings = EngineSettings(
        provider=arguments.provider,
        threads=arguments.threads,
        batch_tokens=arguments.batch_tokens,
        batch_texts=arguments.batch_texts,
    )
    try:
        bundle = load_bundle(arguments.bundle)
        other = load_bundle(arguments.against) if arguments.against else None
    except BundleError as error:
        parser.error(str(error))
    tokenizer = BundleTokenizer(bundle)
    onnxruntime.InferenceSession = TimedSession
    columns = ["tokens", "texts/s", "session alone", "added", "batches", "padding"]
    table = Table(*columns, *([f"{other.folder.name}, times"] if other else []))
    for length in LENGTHS:
        questions = [
            ask(text, arguments.companies)
            for text in make_texts(tokenizer, arguments.texts, length, seed=length or 0)
        ]
        seconds, bare, ran = measure(bundle, settings, questions)
        table.add_row(
            str(length or f"mixed, {ran.tokens / len(questions):.0f}"),
            f"{len(questions) / seconds:,.0f}",
            f"{len(questions) / bare:,.0f}",
            f"{seconds / bare - 1:.1%}",
            str(ran.runs),
            f"{1 - ran.tokens / ran.padded:.1%}",
            *([f"{ratio(bundle, other, settings, questions):.2f}"] if other else []),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
