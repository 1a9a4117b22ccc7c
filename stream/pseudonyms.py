"""Invented names in place of companies' own: what is said of a company must not hang on which one it is.

An encoder has read of real companies, and knows which ones were praised. Under names that nobody has written of,
there is only what the text itself says.
"""

from bisect import bisect_right
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from stream.names import Span, rewrite
from stream.text import language


class Pseudonyms(BaseModel):
    """The names for the first, the second, the third company of a text; who comes later keeps its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latin: tuple[str, ...] = ()
    chinese: tuple[str, ...] = ()
    """Those of Chinese texts."""

    def __bool__(self) -> bool:
        return bool(self.latin or self.chinese)


NO_PSEUDONYMS = Pseudonyms()


def pseudonymise(
    text: str, companies: Sequence[Sequence[Span]], pseudonyms: Pseudonyms
) -> tuple[str, list[list[Span]]]:
    """The text under pseudonyms, and where each company is named then; `companies` says where it was before.

    However a company is written, it has one pseudonym; `$TSLA` becomes a cashtag again. Places that overlap are
    one, and the company's whose name begins first there, or is longest. Only who has no place of its own is where
    another's name has its own in it.
    """
    owners = _owners(companies)
    found = list(owners)
    starts = [start for start, _ in found]
    if not pseudonyms or not found:
        return text, [
            [span for span in spans if owners[found[bisect_right(starts, span[0]) - 1]] == company]
            or list(spans)
            for company, spans in enumerate(companies)
        ]
    pool = pseudonyms.chinese if language(text) == "zh" else pseudonyms.latin
    order = {company: number for number, company in enumerate(dict.fromkeys(owners.values()))}
    words = []
    for (start, end), company in owners.items():
        name, number = text[start:end], order[company]
        words.append(_pseudonym(name, pool[number], text[start - 1 : start]) if number < len(pool) else name)
    changed, places = rewrite(text, zip(found, words, strict=True))
    moved = []
    for company, spans in enumerate(companies):
        # Each place is within one that was found, which begins no later than it.
        within = sorted({bisect_right(starts, start) - 1 for start, _ in spans})
        own = [places[index] for index in within if owners[found[index]] == company]
        moved.append(own or [places[index] for index in within])
    return changed, moved


def _owners(companies: Sequence[Sequence[Span]]) -> dict[Span, int]:
    """The places in order, those that share a character as one, and which company has each."""
    owners: dict[Span, int] = {}
    last: Span = (0, 0)
    for start, end, company in sorted(
        ((start, end, company) for company, spans in enumerate(companies) for start, end in spans),
        key=lambda place: (place[0], -place[1]),
    ):
        if start < last[1]:
            owner = owners.pop(last)
            last = (last[0], max(end, last[1]))
        else:
            owner, last = company, (start, end)
        owners[last] = owner
    return owners


def _pseudonym(name: str, pseudonym: str, before: str) -> str:
    if name.startswith("$"):
        return "$" + pseudonym.upper()
    return pseudonym.upper() if before == "$" else pseudonym
