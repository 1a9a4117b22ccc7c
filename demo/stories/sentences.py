"""The written sentences, and the filling of their blanks."""

import re
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Literal

import yaml

from demo.stories.companies import Company
from demo.stories.figures import FIGURES
from demo.stories.voices import Language, Voice

Section = dict[str, list[str]]
"""Sentences by kind and tone, such as `news bad`."""

NOT_CONSUMER = {"property", "energy", "mining"}
"""Lines of business of which nobody says how they like the product."""

_BLANK = re.compile(r"\{(\w+)\}")


@cache
def sections(
    language: Language, file: Literal["companies", "sectors", "markets", "episodes"]
) -> dict[str, Section]:
    """Read the sentences of one file, such as `english_sectors.yaml`, by the names of sections."""
    content: dict[str, dict[str, str]] = _read(f"{language}_{file}.yaml")
    return {
        name: {kind_and_tone: lines.splitlines() for kind_and_tone, lines in section.items()}
        for name, section in content.items()
    }


def ordinary_sections(language: Language, sector: str) -> list[Section]:
    """Return what may be said on any day of a company in this line of business."""
    general = sections(language, "companies")
    fitting = [
        section for name, section in general.items() if name != "consumer" or sector not in NOT_CONSUMER
    ]
    return [*fitting, sections(language, "sectors")[sector]]


class Deck:
    """Sentences dealt like cards: none comes back before all the others have been dealt."""

    def __init__(self, rng: Random, sentences: list[str]) -> None:
        if not sentences:
            raise ValueError("there is no sentence to deal")
        self._rng = rng
        self._sentences = sentences
        self._left: list[str] = []

    def deal(self) -> str:
        """Return the next sentence, its blanks not yet filled."""
        if not self._left:
            self._left = list(self._sentences)
            self._rng.shuffle(self._left)
        return self._left.pop()


def fill(rng: Random, sentence: str, voice: Voice, company: Company | None) -> str:
    """Return `sentence` with every blank filled, with what fits `company` where there is one."""

    def blank(match: re.Match[str]) -> str:
        name = match[1]
        if name == "company" and company is not None:
            return _mention(rng, company, voice)
        if name in FIGURES:
            return FIGURES[name](rng, voice, company)
        return rng.choice(_words(voice.language, name, company))

    text = _BLANK.sub(blank, sentence).strip().replace("$ ，", "$，")
    # A sentence that begins with a blank begins with a capital, whatever filled it.
    return text[0].upper() + text[1:] if sentence.startswith("{") else text


def _mention(rng: Random, company: Company, voice: Voice) -> str:
    """News is formal; a comment says the short name, or writes as traders do."""
    chinese = voice.language == "chinese"
    formal, *short = company.chinese_names if chinese else company.english_names
    draw = rng.random()
    if voice.kind == "comment" and draw < 0.12:
        return _traders_mention(company, formal) if chinese else company.cashtag
    formal_share = 0.75 if voice.kind == "news" else 0.35
    return formal if draw < formal_share or not short else rng.choice(short)


def _traders_mention(company: Company, formal: str) -> str:
    number, _, exchange = company.ticker.partition(".")
    return f"${formal}({exchange}{number})$ "


def _words(language: Language, name: str, company: Company | None) -> list[str]:
    words: dict[str, dict[str, list[str]]] = _read(f"{language}_slots.yaml")
    own = words[company.sector] if company else {}
    return own.get(name) or words["any"][name]


@cache
def _read(name: str) -> Any:
    return yaml.safe_load((Path(__file__).parent / name).read_text(encoding="utf-8"))
