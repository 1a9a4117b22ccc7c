"""The words behind an alert's worst events."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from demo_scenes import alert as make_alert
from tiny_bundle import ENTITY_HEADS, make_tiny_bundle

from stream.alerts import describe_evidence
from stream.bundle import Bundle
from stream.engine.judgement import Question
from stream.explanation.evidence import EvidenceExplainer
from stream.records import Alert, AlertState, Evidence, Mention
from stream.watchlist import Company, Watchlist, subject_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def alert(*excerpts: str, state: AlertState = AlertState.FIRING) -> Alert:
    evidence = [
        Evidence(id=str(number), time=NOON, negative=0.9, excerpt=excerpt)
        for number, excerpt in enumerate(excerpts)
    ]
    return make_alert("entity:ACME", state=state).model_copy(update={"evidence": evidence})


@pytest.fixture
def explainer(tiny_bundle: Bundle):
    explainer = EvidenceExplainer(tiny_bundle, Watchlist([]), events=2)
    explainer.load()
    yield explainer
    explainer.close()


async def spoken(explainer: EvidenceExplainer, wanted: Alert) -> list[list[str]]:
    return [event.words for event in (await explainer.explained(wanted)).evidence]


async def test_the_worst_events_tell_which_words_drove_their_score(explainer: EvidenceExplainer) -> None:
    fired = alert("a fraud at the good company", "今天坏", "another fraud")
    assert await spoken(explainer, fired) == [["fraud"], ["坏"], []]
    assert fired.evidence[0].words == [], "what the detector keeps is not touched"


async def test_nothing_is_asked_for_an_alert_that_nobody_is_told_of(explainer: EvidenceExplainer) -> None:
    for state in (AlertState.PENDING, AlertState.RESOLVED):
        assert await spoken(explainer, alert("a fraud", state=state)) == [[]]
    muted = alert("a fraud").model_copy(update={"muted": "desk: quiet hours"})
    assert await spoken(explainer, muted) == [[]]


async def test_when_time_is_up_the_rest_goes_without_words(explainer: EvidenceExplainer) -> None:
    await explainer.explained(alert("a fraud"))
    late = await explainer.explained(alert("a fraud", "今天坏"), until=time.monotonic() - 1)
    assert [event.words for event in late.evidence] == [["fraud"], []]


@pytest.mark.parametrize(("precision", "warned"), [("fp32", True), ("int8", False)])
def test_the_model_is_asked_where_the_worker_s_runs_unless_it_is_made_for_a_cpu(
    tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture, precision: str, *, warned: bool
) -> None:
    manifest = tiny_bundle.manifest.model_copy(update={"precision": precision})
    explainer = EvidenceExplainer(
        tiny_bundle.model_copy(update={"manifest": manifest}), Watchlist([]), 1, "cuda"
    )
    explainer.load()
    on_gpu = explainer._engine.provider == "cuda"
    explainer.close()
    assert on_gpu or ("going on with the CPU" in caplog.text) is warned
    assert not (on_gpu and precision == "int8")


async def test_a_company_s_words_are_those_that_speak_against_the_company(tmp_path: Path) -> None:
    # This model judges a company by its own name alone, so that no other word can speak against it.
    bundle = make_tiny_bundle(tmp_path / "bundle", ENTITY_HEADS)
    explainer = EvidenceExplainer(bundle, Watchlist([Company(name="Acme", ticker="ACM")]), events=1)
    explainer.load()
    of_ticker = alert("ACME fraud")
    listed = of_ticker.model_copy(update={"subject": "entity:ACM"})
    of_text = of_ticker.model_copy(update={"subject": "topic:fraud-accounting"})
    elsewhere = of_ticker.model_copy(update={"subject": "entity:OTHER"})
    found = [await spoken(explainer, each) for each in (of_ticker, listed, of_text, elsewhere)]
    explainer.close()
    assert found == [[[]], [[]], [["fraud"]], [["fraud"]]]


async def test_a_text_is_asked_about_with_all_companies_that_it_was_judged_with(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = Watchlist([Company(name="Acme", ticker="ACM"), Company(name="Bolt", ticker="BLT")])
    explainer = EvidenceExplainer(tiny_bundle, listed, events=1)
    explainer.load()
    asked: list[Question] = []
    judge = explainer._engine.judge
    monkeypatch.setattr(
        explainer._engine, "judge", lambda questions: asked.extend(questions) or judge(questions)
    )
    await explainer.explained(alert("Acme fraud, good Bolt").model_copy(update={"subject": "topic:people"}))
    await explainer.explained(alert("Acme fraud, good Bolt").model_copy(update={"subject": "entity:BLT"}))
    explainer.close()
    named = [[names[0] for names in question.entities] for question in asked]
    assert named[0] == ["Acme", "Bolt"]
    assert named[-1] == ["Bolt", "Acme"]


async def test_a_word_is_no_company_for_being_somebodys_ticker(
    explainer: EvidenceExplainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Question] = []
    judge = explainer._engine.judge
    monkeypatch.setattr(
        explainer._engine, "judge", lambda questions: asked.extend(questions) or judge(questions)
    )
    await explainer.explained(alert("a fraud, and it is bad").model_copy(update={"subject": "entity:IT"}))
    assert asked[0].entities == ()


async def test_an_event_is_explained_once_however_often_its_alert_is_revised(
    explainer: EvidenceExplainer,
) -> None:
    await explainer.explained(alert("a fraud"))
    explainer.close()
    assert await spoken(explainer, alert("a fraud")) == [["fraud"]]


async def test_where_the_model_fails_the_alert_goes_without_the_words(
    explainer: EvidenceExplainer, caplog: pytest.LogCaptureFixture
) -> None:
    explainer.close()
    assert await spoken(explainer, alert("a fraud")) == [[]]
    assert "without the words behind it" in caplog.text


async def test_a_company_with_a_very_long_name_gets_its_alert(explainer: EvidenceExplainer) -> None:
    # Folded, the last character of an event's longest name is three.
    subject = subject_of(Mention(name="x" * 199 + "…"))
    assert await spoken(explainer, alert("a fraud").model_copy(update={"subject": subject})) == [["fraud"]]


async def test_whatever_is_wrong_with_the_words_the_alert_goes_out(
    explainer: EvidenceExplainer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(text: str) -> list[Mention]:
        raise RuntimeError(f"unforeseen in {text}")

    monkeypatch.setattr(explainer._watchlist, "find", fails)
    assert await spoken(explainer, alert("a fraud")) == [[]]
    assert "without the words behind it: unforeseen in a fraud" in caplog.text


async def test_a_text_of_no_words_has_none(explainer: EvidenceExplainer) -> None:
    assert await spoken(explainer, alert("!!!", "…")) == [[], []]


def test_the_words_stand_out_where_people_read_them() -> None:
    line = describe_evidence(
        Evidence(id="1", time=NOON, negative=0.91, excerpt="A fraud in [Lima]", words=["fraud"])
    )
    assert line.plain == "    0.91  A fraud in [Lima]"
    assert [line.plain[span.start : span.end] for span in line.spans if "bold" in str(span.style)] == [
        "fraud"
    ]
