"""What an event and its judgement become."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tiny_bundle import ENTITY_HEADS, make_tiny_bundle

from stream.engine.engine import Engine
from stream.labels import ALL
from stream.records import MAXIMUM_ID_CHARACTERS, Mention, NewsEvent, Observation, Position, ScoredEvent
from stream.score.compose import (
    MAXIMUM_URL_CHARACTERS,
    OBSERVATIONS_PER_RECORD,
    accept,
    compose,
    gather,
)
from stream.settings import EngineSettings
from stream.text import normalise
from stream.watchlist import Watchlist, load_watchlist

NOW = datetime(2026, 3, 4, 10, tzinfo=UTC)


@pytest.fixture
def watchlist(tmp_path: Path) -> Watchlist:
    file = tmp_path / "watchlist.yaml"
    file.write_text("entities:\n- {name: Acme, ticker: ACME, aliases: [艾克米]}\n", encoding="utf-8")
    return load_watchlist(file)


def composed(
    engine: Engine, watchlist: Watchlist, event: NewsEvent
) -> tuple[ScoredEvent, dict[str, Observation]]:
    text = normalise(event.text)
    accepted = accept(event, text, Position(topic="news.raw", partition=1, offset=7), NOW, watchlist)
    (judgement,) = engine.judge([accepted.question])
    scored, observations = compose(accepted, judgement, bundle="b" * 16, scored_at=NOW)
    return scored, dict(observations)


def test_an_event_is_counted_under_all_its_topics_and_its_companies(
    tiny_engine: Engine, watchlist: Watchlist
) -> None:
    scored, observations = composed(
        tiny_engine,
        watchlist,
        NewsEvent(text="艾克米 lawsuit, analyst says", entities=[Mention(name="Other")]),
    )
    assert set(observations) == {
        ALL,
        "topic:legal-regulation",
        "topic:analysts",
        "entity:ACME",
        *(e.subject for e in scored.entities),
    }
    assert set(scored.subjects) == set(observations)
    assert {entity.ticker for entity in scored.entities} == {"ACME", None}


def test_a_company_that_event_and_text_both_name_is_counted_once(
    tiny_engine: Engine, watchlist: Watchlist
) -> None:
    event = NewsEvent(text="$ACME and 艾克米", entities=[Mention(name="Acme", ticker="ACME")])
    scored, _ = composed(tiny_engine, watchlist, event)
    assert [entity.subject for entity in scored.entities] == ["entity:ACME"]


def test_the_model_is_asked_about_a_company_by_all_its_names(watchlist: Watchlist) -> None:
    event = NewsEvent(text="艾克米 falls", entities=[Mention(name="Acme Holdings", ticker="ACME")])
    position = Position(topic="news.raw", partition=1, offset=7)
    [names] = accept(event, event.text, position, NOW, watchlist).question.entities
    assert {"Acme Holdings", "Acme", "艾克米", "$acme"} <= set(names)


def test_an_event_without_an_id_is_known_by_its_position(tiny_engine: Engine, watchlist: Watchlist) -> None:
    scored, observations = composed(tiny_engine, watchlist, NewsEvent(text="good"))
    assert scored.id == "news.raw/1/7" == observations[ALL].id


def test_only_negative_observations_carry_what_an_alert_shows(
    tiny_engine: Engine, watchlist: Watchlist
) -> None:
    bad = composed(tiny_engine, watchlist, NewsEvent(text="bad " * 100, url="https://e.example/1"))[1][ALL]
    good = composed(tiny_engine, watchlist, NewsEvent(text="good", url="https://e.example/1"))[1][ALL]
    assert bad.excerpt is not None
    assert len(bad.excerpt) <= 120
    assert bad.url == "https://e.example/1"
    assert good.excerpt is None
    assert good.url is None


def test_a_url_that_would_swell_the_record_is_left_out(tiny_engine: Engine, watchlist: Watchlist) -> None:
    event = NewsEvent(text="bad", url="https://e.example/" + "x" * 1_900)
    scored, observations = composed(tiny_engine, watchlist, event)
    assert observations[ALL].url is None
    assert scored.url == event.url


def test_observations_of_a_subject_travel_together_and_in_order(
    tiny_engine: Engine, watchlist: Watchlist
) -> None:
    observation = composed(tiny_engine, watchlist, NewsEvent(text="bad"))[1][ALL]
    pairs = [
        (f"s{number % 2}", observation.model_copy(update={"id": str(number)}))
        for number in range(2 * OBSERVATIONS_PER_RECORD + 2)
    ]
    records = gather(pairs, "b" * 16)
    assert [(record.subject, len(record.observations)) for record in records] == [
        ("s0", OBSERVATIONS_PER_RECORD),
        ("s0", 1),
        ("s1", OBSERVATIONS_PER_RECORD),
        ("s1", 1),
    ]
    ids = [int(item.id) for record in records if record.subject == "s0" for item in record.observations]
    assert ids == sorted(ids)
    assert all(len(record.to_bytes()) < 1_000_000 for record in records)


def test_however_long_ids_and_urls_are_a_record_stays_below_what_brokers_accept(
    tiny_engine: Engine, watchlist: Watchlist
) -> None:
    event = NewsEvent(
        text="bad " + "😀" * 200, id="😀" * MAXIMUM_ID_CHARACTERS, url="😀" * MAXIMUM_URL_CHARACTERS
    )
    observation = composed(tiny_engine, watchlist, event)[1][ALL]
    assert observation.excerpt is not None
    assert observation.url is not None
    (record,) = gather([(ALL, observation)] * OBSERVATIONS_PER_RECORD, "b" * 16)
    assert 400_000 < len(record.to_bytes()) < 900_000


def test_each_company_is_observed_with_the_sentiment_towards_it(tmp_path: Path, watchlist: Watchlist) -> None:
    engine = Engine(make_tiny_bundle(tmp_path / "tiny", ENTITY_HEADS), EngineSettings(provider="cpu"))
    engine.load()
    event = NewsEvent(
        text="profit Acme after fraud Other and lawsuit",
        entities=[Mention(name="Other"), Mention(name="Absent", ticker="ABS")],
    )
    scored, observations = composed(engine, watchlist, event)
    engine.close()
    assert scored.sentiment == "negative"
    assert {entity.subject: entity.sentiment for entity in scored.entities} == {
        "entity:other": "negative",
        "entity:ABS": "negative",
        "entity:ACME": "positive",
    }
    assert observations["entity:ACME"].sentiment == "positive"
    assert observations["entity:ACME"].excerpt is None, "nothing against it, so no evidence"
    assert observations["entity:other"].excerpt
    assert observations[ALL].sentiment == observations["topic:legal-regulation"].sentiment == "negative"


def test_what_is_shown_of_a_long_text_is_where_it_names_the_company(
    tiny_engine: Engine, watchlist: Watchlist
) -> None:
    text = f"Fraud at Bolt. {'The court heard witnesses. ' * 20}Then Acme fell, too, and all of its shops."
    event = NewsEvent(text=text, entities=[Mention(name="Bolt"), Mention(name="Corto", ticker="CRT")])
    _, observations = composed(tiny_engine, watchlist, event)
    shown = {subject: one.excerpt for subject, one in observations.items()}
    assert shown["entity:ACME"] == "Then Acme fell, too, and all of its shops."
    assert shown[ALL] == shown["entity:bolt"] == shown["entity:CRT"] == text[:120]
