"""How a thing is said: in which language, in what kind of item, and in which tone."""

from dataclasses import dataclass
from typing import Literal

Language = Literal["chinese", "english"]
Kind = Literal["news", "comment"]
Tone = Literal["bad", "neutral", "good"]


@dataclass(frozen=True)
class Voice:
    language: Language
    kind: Kind
    tone: Tone
