"""The telling of the four days: who says what when, reposts included."""

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from demo.stories.companies import BY_TICKER, COMPANIES, Company
from demo.stories.episodes import EPISODES, Episode, Phase
from demo.stories.rhythm import ASIA, END, START, arrivals, expected_between
from demo.stories.sentences import Deck, Section, fill, ordinary_sections, sections
from demo.stories.voices import Kind, Language, Tone, Voice

SEED = "downtick"
NEWS_SHARE = 0.42
"""Of ordinary items; the rest are comments."""
MARKETS_PER_DAY = 185.0
"""Items about the economy and the markets, of no company."""
TAGGED_SHARE = 0.12
"""Of the items that name a company, those which also carry its ticker, as some feeds do."""
REPOST_SHARE = 0.05

_SOURCES: dict[Kind, tuple[str, ...]] = {
    "news": ("newswire", "newswire", "daily", "portal"),
    "comment": ("forum", "forum", "microblog", "chat"),
}
_HANDLES = ("tapewatcher", "harbourlight", "quietmoney", "nightdesk", "oddlot_anna", "pit_crew")


Sentences = dict[Language, list[Section]]
"""What a teller may choose from."""


@dataclass(frozen=True)
class Story:
    """One item of the stream, with what its author knew of it and the stream does not say."""

    time: datetime
    text: str
    source: str
    voice: Voice
    company: Company | None
    tagged: bool
    """Whether the item itself carries the company's ticker."""
    episode: Episode | None = None
    repost: bool = False
    number: int = 0

    def line(self) -> str:
        """Return the item as a line of JSON, without what only its author knew."""
        record: dict[str, object] = {
            "id": f"story-{self.number:05d}",
            "time": self.time.isoformat(),
            "text": self.text,
            "source": self.source,
            "kind": self.voice.kind,
            "url": f"https://news.example/{self.source}/{self.number:05d}",
        }
        if self.tagged and self.company is not None:
            record["entities"] = [{"name": self.company.name, "ticker": self.company.ticker}]
        return json.dumps(record, ensure_ascii=False) + "\n"


class _Teller:
    """Speaks of one matter: an ordinary company, a phase of an episode, or the markets."""

    def __init__(
        self,
        matter: str,
        sentences: Sentences,
        company: Company | None = None,
        *,
        chinese: float,
        episode: Episode | None = None,
    ) -> None:
        # Each matter has its own source of chance, so that a change to one leaves the others alone.
        self.rng = Random(f"{SEED} {matter}")
        self._sentences = sentences
        self._company = company
        self._chinese = chinese
        self._episode = episode
        self._decks: dict[Voice, Deck] = {}
        self._told: set[str] = set()

    def tell(self, time: datetime, *, bad: float, good: float, news: float) -> Story:
        """Return a story at `time`; its tone and kind have these chances."""
        voice = self._voice(bad=bad, good=good, news=news)
        text = self._text(voice)
        named = self._company is not None and self._company.mentioned_in(text)
        return Story(
            time=time,
            text=text,
            source=self.rng.choice(_SOURCES[voice.kind]),
            voice=voice,
            company=self._company,
            tagged=self._company is not None and (not named or self.rng.random() < TAGGED_SHARE),
            episode=self._episode,
        )

    def _voice(self, *, bad: float, good: float, news: float) -> Voice:
        language: Language = "chinese" if self.rng.random() < self._chinese else "english"
        kind: Kind = "news" if self.rng.random() < news else "comment"
        draw = self.rng.random()
        tone: Tone = "bad" if draw < bad else "good" if draw < bad + good else "neutral"
        voice = Voice(language, kind, tone)
        if not self._said(voice):  # in some phases only the other kind speaks in this tone
            voice = replace(voice, kind="comment" if kind == "news" else "news")
        return voice

    def _said(self, voice: Voice) -> list[str]:
        key = f"{voice.kind} {voice.tone}"
        return [text for section in self._sentences[voice.language] for text in section.get(key, ())]

    def _text(self, voice: Voice) -> str:
        """Return a text that was not told before, if a few tries find one."""
        if voice not in self._decks:
            self._decks[voice] = Deck(self.rng, self._said(voice))
        text = ""
        for _ in range(6):
            text = fill(self.rng, self._decks[voice].deal(), voice, self._company)
            if text not in self._told:
                break
        self._told.add(text)
        return text


def tell() -> list[Story]:
    """Return all stories of the four days in time order, the same each time."""
    stories = [story for company in COMPANIES for story in _ordinary_days(company)]
    stories += _markets()
    for episode in EPISODES:
        for phase in episode.phases:
            stories += _phase(episode, phase)
    stories += _reposts(stories)
    stories.sort(key=lambda story: story.time)
    return [replace(story, number=number) for number, story in enumerate(stories, start=1)]


def _ordinary_days(company: Company) -> list[Story]:
    sentences: Sentences = {
        "chinese": ordinary_sections("chinese", company.sector),
        "english": ordinary_sections("english", company.sector),
    }
    teller = _Teller(company.ticker, sentences, company, chinese=company.chinese)
    # While an episode runs, nobody speaks of anything else.
    episodes = [episode for episode in EPISODES if episode.ticker == company.ticker]
    return [
        teller.tell(time, bad=company.bad, good=company.good, news=NEWS_SHARE)
        for expected, start, end in expected_between(company.per_day, company.rhythm, START, END)
        for time in arrivals(teller.rng, expected, start, end)
        if not any(time in episode for episode in episodes)
    ]


def _markets() -> list[Story]:
    sentences: Sentences = {
        "chinese": list(sections("chinese", "markets").values()),
        "english": list(sections("english", "markets").values()),
    }
    teller = _Teller("markets", sentences, chinese=0.5)
    return [
        teller.tell(time, bad=0.17, good=0.2, news=0.68)
        for expected, start, end in expected_between(MARKETS_PER_DAY, ASIA, START, END)
        for time in arrivals(teller.rng, expected, start, end)
    ]


def _phase(episode: Episode, phase: Phase) -> list[Story]:
    section = f"{episode.name} {phase.name}"
    company = BY_TICKER[episode.ticker]
    sentences: Sentences = {
        "chinese": [sections("chinese", "episodes")[section]],
        "english": [sections("english", "episodes")[section]],
    }
    teller = _Teller(section, sentences, company, chinese=company.chinese, episode=episode)
    start, end = episode.span(phase)
    return [
        teller.tell(time, bad=phase.bad, good=phase.good, news=phase.news)
        for ordinary, piece_start, piece_end in expected_between(company.per_day, company.rhythm, start, end)
        for time in arrivals(teller.rng, ordinary * phase.volume, piece_start, piece_end)
    ]


def _reposts(stories: list[Story]) -> list[Story]:
    """Return copies of some stories, said again within two hours, word for word or forwarded."""
    rng = Random(f"{SEED} reposts")
    copies = []
    for story in stories:
        if rng.random() >= REPOST_SHARE:
            continue
        time = story.time + timedelta(seconds=60 + int(rng.random() ** 2 * 7_000))
        if time < END:
            copies.append(_repost(rng, story, time))
    return copies


def _repost(rng: Random, story: Story, time: datetime) -> Story:
    if rng.random() < 0.4:  # another outlet prints the same
        return replace(story, time=time, source=rng.choice(_SOURCES[story.voice.kind]), repost=True)
    if story.voice.language == "chinese":
        text = rng.choice(("转发：{}", "【转】{}", "{}（转）", "转：{}")).format(story.text)
    else:
        handle = rng.choice(_HANDLES)
        text = rng.choice(("RT @{0}: {1}", "RT: {1}", "{1} (via @{0})")).format(handle, story.text)
    voice = replace(story.voice, kind="comment")
    source = rng.choice(_SOURCES["comment"])
    return replace(story, time=time, text=text, source=source, voice=voice, repost=True)
