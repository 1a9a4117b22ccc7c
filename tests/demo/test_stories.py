"""The demo's stream: as it is written, as it ships, and what it must show."""

import json
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

import demo
from demo.stories import COMPANIES, END, EPISODES, START, WATCH_LIST, Company, Episode, Story, tell
from demo.stories.__main__ import main
from demo.stories.sentences import sections
from demo.stories.voices import Language
from stream.labels import SENTIMENTS
from stream.watchlist import Watchlist, load_watchlist

STREAM = Path(demo.__file__).parent / "stream.jsonl"
REAL_COMPANIES = (
    *("Apple", "Tesla", "Nvidia", "Samsung", "Toyota", "Amazon", "Walmart", "Binance", "Coinbase"),
    *("Goldman", "Moody", "Fitch", "Reuters", "Bloomberg", "Alibaba", "Tencent", "Huawei", "Evergrande"),
    *("茅台", "平安", "比亚迪", "蔚来", "腾讯", "阿里", "华为", "恒大", "万科", "碧桂园", "招商银行"),
    *("工商银行", "伊利", "蒙牛", "三鹿", "中芯", "国航", "南航", "顺丰", "沃尔玛", "币安", "中信"),
)


@pytest.fixture(scope="module")
def stories() -> list[Story]:
    return tell()


@pytest.fixture(scope="module")
def records() -> list[dict[str, object]]:
    return [json.loads(line) for line in STREAM.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def watchlist() -> Watchlist:
    return load_watchlist(WATCH_LIST)


def about(stories: list[Story], episode: Episode) -> list[Story]:
    """What is said of the company while the episode runs."""
    return [story for story in stories if ticker(story) == episode.ticker and story.time in episode]


def ticker(story: Story) -> str | None:
    return story.company.ticker if story.company else None


def ordinary(stories: list[Story], company: Company) -> list[Story]:
    return [story for story in stories if story.company == company and story.episode is None]


def share(stories: list[Story], tone: str) -> float:
    return sum(story.voice.tone == tone for story in stories) / len(stories)


def test_the_shipped_stream_is_what_the_script_writes(tmp_path: Path) -> None:
    written = tmp_path / "stream.jsonl"
    result = CliRunner().invoke(main, ["--out", str(written)])
    assert result.exit_code == 0, result.output
    assert written.read_bytes() == STREAM.read_bytes(), (
        "run `python -m demo.stories --out demo/stream.jsonl` and commit what it writes"
    )


def test_a_file_that_cannot_be_written_gives_one_clear_message(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--out", str(tmp_path / "nowhere" / "stream.jsonl")])
    assert result.exit_code != 0
    assert "cannot write" in result.output
    assert "Traceback" not in result.output


def test_the_stream_holds_about_five_thousand_items_and_stays_small(
    records: list[dict[str, object]],
) -> None:
    assert 4_500 <= len(records) <= 5_500
    assert STREAM.stat().st_size < 1_500_000


def test_items_come_in_time_order_within_the_four_days(records: list[dict[str, object]]) -> None:
    times = [datetime.fromisoformat(str(record["time"])) for record in records]
    assert times == sorted(times)
    assert times[0] >= START
    assert times[-1] < END
    assert {time.utcoffset() for time in times} == {timedelta(hours=8)}


def test_every_item_has_its_own_id_and_a_text_without_blanks(
    records: list[dict[str, object]],
) -> None:
    assert len({record["id"] for record in records}) == len(records)
    for record in records:
        text = str(record["text"])
        assert text
        assert "{" not in text
        assert "}" not in text
        assert set(record) - {"entities"} == {"id", "time", "text", "source", "kind", "url"}
        assert record["kind"] in {"news", "comment"}
        assert str(record["url"]).startswith("https://news.example/")


def test_the_stream_gives_no_tone_away(records: list[dict[str, object]]) -> None:
    values = {value for record in records for value in record.values() if isinstance(value, str)}
    assert not values & {*SENTIMENTS, "bad", "good"}


@pytest.mark.parametrize("language", ["chinese", "english"])
def test_both_languages_are_well_represented(stories: list[Story], language: Language) -> None:
    assert sum(story.voice.language == language for story in stories) >= 0.35 * len(stories)


def test_few_texts_are_said_twice_and_some_are(stories: list[Story]) -> None:
    counts = Counter(story.text for story in stories)
    repeated = 1 - len(counts) / len(stories)
    assert 0.01 < repeated < 0.10
    assert counts.most_common(1)[0][1] < 10


def test_about_one_item_in_twenty_is_a_repost_of_an_earlier_one(stories: list[Story]) -> None:
    reposts = [story for story in stories if story.repost]
    assert 0.03 < len(reposts) / len(stories) < 0.07
    said: list[str] = []
    for story in stories:
        if story.repost:
            assert any(text in story.text for text in said)
        said.append(story.text)


def test_about_one_item_in_six_is_of_no_company(stories: list[Story]) -> None:
    assert 0.12 < sum(story.company is None for story in stories) / len(stories) < 0.20


def test_every_company_is_found_in_both_scripts_by_its_aliases(
    stories: list[Story], watchlist: Watchlist
) -> None:
    for company in COMPANIES:
        for language in ("chinese", "english"):
            texts = [
                story.text
                for story in stories
                if story.company == company and story.voice.language == language
            ]
            found = sum(bool(watchlist.find(text)) for text in texts)
            assert found > 0.9 * len(texts) > 0, (company.name, language)


def test_a_company_is_found_where_it_is_spoken_of_and_nowhere_else(
    stories: list[Story], watchlist: Watchlist
) -> None:
    for story in stories:
        found = {mention.ticker for mention in watchlist.find(story.text)}
        if story.tagged and not found:
            continue  # the item names its company beside the text, as a stock's own forum does
        assert found == ({story.company.ticker} if story.company else set()), story.text


def test_the_watch_list_names_every_company_in_both_scripts() -> None:
    for company in COMPANIES:
        assert company.chinese_names
        assert company.english_names
        assert company.cashtag in company.aliases


def test_no_real_company_is_named() -> None:
    everything = STREAM.read_text(encoding="utf-8") + WATCH_LIST.read_text(encoding="utf-8")
    assert [name for name in REAL_COMPANIES if name in everything] == []


def test_an_ordinary_day_has_its_ordinary_share_of_bad_news(stories: list[Story]) -> None:
    days = [story for company in COMPANIES for story in ordinary(stories, company)]
    assert 0.12 < share(days, "bad") < 0.20
    assert share(days, "good") > share(days, "bad")


def test_companies_differ_in_how_much_they_are_spoken_of(stories: list[Story]) -> None:
    volumes = sorted(len(ordinary(stories, company)) for company in COMPANIES)
    assert volumes[-1] > 3 * volumes[0]


def test_nights_are_quiet(stories: list[Story]) -> None:
    hours = Counter(story.time.hour for story in stories if story.episode is None)
    night = sum(hours[hour] for hour in range(6)) / 6
    day = sum(hours[hour] for hour in range(8, 18)) / 10
    assert day > 3 * night


@pytest.mark.parametrize("episode", EPISODES, ids=lambda episode: episode.name)
def test_an_episode_multiplies_the_volume_as_documented(stories: list[Story], episode: Episode) -> None:
    company = next(company for company in COMPANIES if company.ticker == episode.ticker)
    for phase in episode.phases:
        start, end = episode.span(phase)
        said = sum(start <= story.time < end for story in about(stories, episode))
        hours = (start + timedelta(minutes=minute) for minute in range(phase.minutes))
        usual = sum(company.per_day * company.rhythm[time.hour] / 60 for time in hours)
        # Four standard deviations of a Poisson count, and the reposts on top.
        tolerance = 4 * (usual * phase.volume) ** 0.5
        assert abs(said - usual * phase.volume * 1.05) < tolerance, phase.name
    assert episode.peak.volume >= 8


@pytest.mark.parametrize("episode", [e for e in EPISODES if e.must_alert], ids=lambda episode: episode.name)
def test_what_must_alert_is_mostly_negative_at_its_height(stories: list[Story], episode: Episode) -> None:
    start, end = episode.span(episode.peak)
    height = [story for story in about(stories, episode) if start <= story.time < end]
    assert share(height, "bad") > 0.7
    assert episode.peak.volume >= 10


@pytest.mark.parametrize(
    "episode", [e for e in EPISODES if not e.must_alert], ids=lambda episode: episode.name
)
def test_what_must_not_alert_has_no_more_than_the_usual_share_of_negatives(
    stories: list[Story], episode: Episode
) -> None:
    company = next(company for company in COMPANIES if company.ticker == episode.ticker)
    assert share(about(stories, episode), "bad") <= share(ordinary(stories, company), "bad")


def test_the_good_news_is_mostly_positive(stories: list[Story]) -> None:
    episode = next(episode for episode in EPISODES if episode.kind == "good news")
    assert share(about(stories, episode), "good") > 0.6


@pytest.mark.parametrize("language", ["chinese", "english"])
def test_there_are_many_sentences_and_none_is_written_twice(language: Language) -> None:
    written = [
        sentence
        for file in ("companies", "sectors", "markets", "episodes")
        for section in sections(language, file).values()
        for said in section.values()
        for sentence in said
    ]
    assert [sentence for sentence, count in Counter(written).items() if count > 1] == []
    assert len(written) >= 150 + 40 * len(EPISODES)


@pytest.mark.parametrize("language", ["chinese", "english"])
@pytest.mark.parametrize("episode", EPISODES, ids=lambda episode: episode.name)
def test_every_episode_has_sentences_of_its_own(episode: Episode, language: Language) -> None:
    phases = [sections(language, "episodes")[f"{episode.name} {phase.name}"] for phase in episode.phases]
    assert sum(len(said) for phase in phases for said in phase.values()) >= 40
