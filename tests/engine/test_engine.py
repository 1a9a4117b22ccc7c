"""Texts in, judgements out: order, cache, poisoned texts, the engine's thread."""

import asyncio
import threading
import time

import pytest
from tiny_bundle import ENTITY_HEADS, OVERFLOW, POISON, make_tiny_bundle

from stream.bundle import BundleError, Head, write_manifest
from stream.engine.cache import JudgementCache
from stream.engine.engine import Engine
from stream.engine.errors import EngineError, ModelError
from stream.engine.judgement import Judgement, JudgementError, Question
from stream.engine.session import Session
from stream.settings import EngineSettings


class Recorder:
    """Writes down what the engine tells its observer."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, int, int]] = []
        self.seconds = 0.0
        self.hits = self.misses = self.failed = 0
        self.aspects: list[dict[str, list[str]]] = []

    def batch_ran(self, texts, tokens, padded_tokens, seconds):
        self.batches.append((texts, tokens, padded_tokens))
        self.seconds += seconds

    def cache_looked_up(self, hits, misses):
        self.hits += hits
        self.misses += misses

    def text_judged(self, aspects):
        self.aspects.append(aspects)

    def text_failed(self):
        self.failed += 1


class LostDevice:
    """A session whose device no longer answers anything."""

    multiple = 1
    run_tokens = 0

    def run(self, _batch):
        raise ModelError("the device is lost")

    def probe(self):
        raise ModelError("the device is lost")


def _engine(bundle, **settings) -> tuple[Engine, Recorder]:
    recorder = Recorder()
    engine = Engine(bundle, EngineSettings(provider="cpu", threads=1, **settings), recorder)
    engine.load()
    return engine, recorder


def asked(texts) -> list[Question]:
    return [Question(text) for text in texts]


def _sentiments(results) -> list[str]:
    return [result["sentiment"].label if isinstance(result, Judgement) else "error" for result in results]


def test_results_stand_in_the_order_of_the_texts_whatever_their_lengths(tiny_engine):
    texts = ["good " * 20, "坏", "a plain long sentence about nothing " * 3, "bad", "好"] * 10

    results = tiny_engine.judge(asked(texts))

    expected = ["positive", "negative", "neutral", "negative", "positive"] * 10
    assert _sentiments(results) == expected


def test_every_head_of_the_bundle_is_judged(tiny_engine):
    (judgement,) = tiny_engine.judge(asked(["Recall and lawsuit at the bank"]))

    assert judgement["sentiment"].label == "negative"
    assert judgement["topics"].labels == ("legal-regulation", "product")
    # Two negative words of 4 against neutral's 2 and positive's 0.
    assert judgement["sentiment"].confidence == pytest.approx(0.997194, abs=2e-6)


def test_the_same_text_gets_the_same_judgement_beside_any_other_text(tiny_engine, tiny_bundle):
    alone = tiny_engine.judge(asked(["fraud at the bank"]))
    fresh, _ = _engine(tiny_bundle)

    assert fresh.judge(asked(["fraud at the bank", "good " * 30, "bad"]))[0] == alone[0]


def test_a_repost_is_judged_once(tiny_bundle):
    engine, recorder = _engine(tiny_bundle)

    first = engine.judge(asked(["bad", "bad", "good"]))
    second = engine.judge(asked(["good", "bad"]))

    assert second == [first[2], first[0]]
    assert (recorder.hits, recorder.misses) == (3, 2)
    assert sum(texts for texts, _, _ in recorder.batches) == 2


def test_the_cache_forgets_what_was_not_asked_for_the_longest(tiny_bundle):
    engine, recorder = _engine(tiny_bundle, cache_texts=2)

    engine.judge(asked(["bad"]))
    engine.judge(asked(["good"]))
    engine.judge(asked(["bad"]))
    engine.judge(asked(["neither"]))  # drops "good"
    recorder.misses = 0
    engine.judge(asked(["bad"]))
    assert recorder.misses == 0
    engine.judge(asked(["good"]))
    assert recorder.misses == 1


def test_a_cache_without_room_remembers_nothing(tiny_engine):
    cache = JudgementCache(0)
    (judgement,) = tiny_engine.judge(asked(["bad"]))

    cache.put(Question("bad"), judgement)

    assert cache.get(Question("bad")) is None
    assert len(cache) == 0


def test_a_poisoned_text_costs_only_itself(tiny_bundle):
    engine, recorder = _engine(tiny_bundle)

    results = engine.judge(asked(["bad", f"good {POISON}", "good", "neither"]))

    assert _sentiments(results) == ["negative", "error", "positive", "neutral"]
    assert "out of data bounds" in results[1].reason
    assert recorder.failed == 1


def test_an_answer_that_is_no_number_is_an_error_of_its_text(tiny_engine):
    results = tiny_engine.judge(asked(["bad", OVERFLOW, "good"]))

    assert _sentiments(results) == ["negative", "error", "positive"]
    assert results[1] == JudgementError("the model's answer is not a number")


def test_a_text_that_the_tokenizer_cannot_read_costs_only_itself(tiny_engine):
    results = tiny_engine.judge(asked(["bad", "\ud800 good", "good"]))

    assert _sentiments(results) == ["negative", "error", "positive"]
    assert "tokenizer" in results[1].reason


def test_a_failure_is_not_remembered(tiny_bundle):
    engine, recorder = _engine(tiny_bundle)

    engine.judge(asked([POISON]))
    engine.judge(asked([POISON]))

    assert recorder.misses == 2


def test_a_lost_device_stops_the_engine_and_blames_no_text(tiny_engine, monkeypatch):
    monkeypatch.setattr(tiny_engine, "_session", LostDevice())

    with pytest.raises(ModelError, match="device is lost"):
        tiny_engine.judge(asked(["bad", "good"]))


def test_batches_keep_to_the_settings(tiny_bundle):
    engine, recorder = _engine(tiny_bundle, batch_texts=4, batch_tokens=64, cache_texts=0)

    engine.judge(asked([f"word {'word ' * (index % 9)} {index}" for index in range(50)]))

    assert sum(texts for texts, _, _ in recorder.batches) == 50
    assert all(texts <= 4 and padded <= 64 for texts, _, padded in recorder.batches)
    assert all(0 < tokens <= padded for _, tokens, padded in recorder.batches)
    assert recorder.seconds > 0


def test_a_batch_has_fewer_texts_where_each_is_read_again_for_its_companies(tmp_path):
    questions = [Question(f"bad Acme, good Bolt {index}", (("Acme",), ("Bolt",))) for index in range(12)]
    texts_at_once = {}
    for own_layers in (0, 1):
        heads = [
            head.model_copy(update={"own_layers": own_layers}) if head.scope == "entity" else head
            for head in ENTITY_HEADS
        ]
        bundle = make_tiny_bundle(tmp_path / str(own_layers), heads)
        engine, recorder = _engine(bundle, batch_texts=12, batch_tokens=96, cache_texts=0)
        engine.judge(questions)
        texts_at_once[own_layers] = max(texts for texts, _, _ in recorder.batches)
    # A text has eight tokens, and with its two companies three times as many.
    assert texts_at_once == {0: 12, 1: 4}


def test_a_long_text_is_cut_to_the_length_of_the_model(tiny_bundle):
    engine, recorder = _engine(tiny_bundle)

    (judgement,) = engine.judge(asked(["bad " * 10 + "good " * 500]))

    assert recorder.batches == [(1, 64, 64)]
    assert judgement["sentiment"].label == "positive"


def test_no_texts_are_no_work(tiny_bundle):
    engine, recorder = _engine(tiny_bundle)

    assert engine.judge(asked([])) == []
    assert recorder.batches == []


def test_a_bundle_for_another_task_is_judged_as_well(tmp_path):
    tone = Head(name="tone", kind="single", labels=["positive", "negative"], temperature=2.0)
    engine, _ = _engine(make_tiny_bundle(tmp_path, [tone]))

    (judgement,) = engine.judge(asked(["bad"]))

    assert judgement["tone"].label == "negative"
    assert judgement["tone"].confidence == pytest.approx(0.880797, abs=2e-6)  # sigmoid of 4 / 2


async def test_the_event_loop_goes_on_while_the_engine_works(tiny_bundle, monkeypatch):
    engine, _ = _engine(tiny_bundle)
    run, threads = Session.run, []

    def slow_run(self, batch):
        threads.append(threading.current_thread())
        time.sleep(0.2)
        return run(self, batch)

    monkeypatch.setattr(Session, "run", slow_run)
    beats = 0

    async def heartbeat():
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    heart = asyncio.create_task(heartbeat())
    first, second = await asyncio.gather(
        engine.judge_async(asked(["bad"])), engine.judge_async(asked(["good"]))
    )
    heart.cancel()

    assert _sentiments([*first, *second]) == ["negative", "positive"]
    assert beats >= 10
    assert len(set(threads)) == 1
    assert threads[0] is not threading.main_thread()
    engine.close()


def test_an_engine_that_is_not_loaded_says_so(tiny_bundle):
    engine = Engine(tiny_bundle, EngineSettings())

    with pytest.raises(EngineError, match="not loaded"):
        engine.judge(asked(["bad"]))


def test_a_closed_engine_judges_no_more(tiny_bundle):
    engine, _ = _engine(tiny_bundle)
    engine.close()

    with pytest.raises(EngineError, match="not loaded"):
        engine.judge(asked(["bad"]))


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path):
    bundle = make_tiny_bundle(tmp_path)
    bundle.tokenizer.write_text("{}", encoding="utf-8")

    with pytest.raises(BundleError, match=r"tokenizer\.json is no tokenizer"):
        _engine(write_manifest(tmp_path, bundle.manifest))


@pytest.fixture
def entity_engine(tmp_path):
    engine, recorder = _engine(make_tiny_bundle(tmp_path, ENTITY_HEADS))
    yield engine, recorder
    engine.close()


def _towards(judgement, count) -> list[str]:
    return [judgement.towards(index, "entity_sentiment", "sentiment").label for index in range(count)]


def test_each_entity_of_a_text_is_judged_by_itself(entity_engine):
    engine, _ = entity_engine
    question = Question("great Acme, fraud Bolt and Cobalt; losses", (("Bolt",), ("Acme",), ("Cobalt",)))

    (judgement,) = engine.judge([question])

    assert judgement["sentiment"].label == "negative"
    assert _towards(judgement, 3) == ["negative", "positive", "neutral"]


def test_an_entity_that_the_text_does_not_have_is_judged_as_the_text(entity_engine):
    engine, _ = entity_engine
    first = Question("great Acme, fraud, losses", (("Zenith",), ("Acme",)))
    second = Question("good day")
    third = Question("bad Bolt good day good", (("BLT", "Bolt"),))

    judgements = engine.judge([first, second, third])

    assert _towards(judgements[0], 2) == ["negative", "positive"]
    assert judgements[0].entities[0] == {}
    assert judgements[1].entities == ()
    assert _towards(judgements[2], 1) == ["negative"], "by its second name"


def test_a_bundle_without_a_head_over_entities_judges_them_as_their_texts(tiny_engine):
    (judgement,) = tiny_engine.judge([Question("great Acme, fraud, losses", (("Acme",),))])

    assert _towards(judgement, 1) == ["negative"]


def test_the_same_text_with_other_entities_is_another_question(entity_engine):
    engine, recorder = entity_engine
    text = "great Acme fraud Bolt"

    (acme,) = engine.judge([Question(text, (("Acme",),))])
    (bolt,) = engine.judge([Question(text, (("Bolt",),))])
    (again,) = engine.judge([Question(text, (("Acme",),))])

    assert [_towards(one, 1) for one in (acme, bolt, again)] == [["positive"], ["negative"], ["positive"]]
    assert (recorder.hits, recorder.misses) == (1, 2)


def test_a_text_whose_answers_are_no_numbers_takes_its_entities_with_it(entity_engine):
    engine, _ = entity_engine
    questions = [
        Question("good Acme", (("Acme",),)),
        Question(f"{OVERFLOW} Bolt", (("Bolt",),)),
        Question("bad Cobalt", (("Cobalt",),)),
    ]

    first, second, third = engine.judge(questions)

    assert isinstance(second, JudgementError)
    assert (_towards(first, 1), _towards(third, 1)) == (["positive"], ["negative"])


def test_no_text_can_be_written_to_be_taken_for_another_question(tiny_engine):
    cache = JudgementCache(8)
    (judgement,) = tiny_engine.judge(asked(["bad"]))
    cache.put(Question("fell", (("Acme",),)), judgement)

    assert cache.get(Question("(('Acme',),)fell")) is None
    assert cache.get(Question("fell", (("Acme",),))) == judgement
