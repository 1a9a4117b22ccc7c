"""The watch list: the companies to find in texts, and the subject that a company is counted under.

    entities:
      - name: 贵州茅台
        ticker: 600519.SH
        aliases: [茅台, Kweichow Moutai]

Errors:
    WatchlistError  one message that names the file and every entry and key that is wrong
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from ahocorasick_rs import AhoCorasick
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from stream.names import SHORT_TICKER, fold, original, stands_alone
from stream.records import MAXIMUM_ID_CHARACTERS, Mention
from stream.text import normalise

ENTITY = "entity:"

_SUFFIXED = re.compile(r"(?P<code>\d+)\.(?P<exchange>[a-z]{2,4})")
_CODE = re.compile(r"\d{6}")
_SHANGHAI = {"sh": "ss", "ss": "sh"}
_HONG_KONG_WIDTHS = range(1, 6)


class WatchlistError(Exception):
    """A watch list that cannot be used; the message names every wrong entry and key."""


def _findable(alias: str) -> str:
    if len(fold(normalise(alias))) < 2:
        raise ValueError("a single character would be found everywhere")
    return alias


def _some(value: object) -> object:
    """A key with nothing behind it is as good as absent; YAML gives it as an empty string."""
    return [] if value == "" else value


Alias = Annotated[str, Field(min_length=1, max_length=MAXIMUM_ID_CHARACTERS), AfterValidator(_findable)]


class Company(BaseModel):
    """One entry of the watch list."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    name: Alias
    ticker: Annotated[str, Field(min_length=1, max_length=MAXIMUM_ID_CHARACTERS)]
    """As the exchange writes it (`600519.SH`, `AAPL`); a word of one's own for who is not listed."""
    aliases: Annotated[list[Alias], BeforeValidator(_some)] = Field(default_factory=list)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    entities: Annotated[list[Company], BeforeValidator(_some)]


def subject_of(mention: Mention) -> str:
    """The subject that a company is counted under: its ticker, or its name where it has none."""
    ticker = _bare(mention.ticker or "")
    # A name of invisible characters alone is left as it is: an empty one would join strangers.
    return ENTITY + (ticker.upper() or fold(normalise(mention.name)) or mention.name)


def names_of(mention: Mention) -> tuple[str, ...]:
    """How a text may write a company: by the name that it was found under, or by its ticker."""
    return (*_own_name(mention), *_ticker_forms(mention))


class Watchlist:
    """Finds the companies of a list in texts, and gives their tickers to the companies of events.

    Raises `WatchlistError` where two companies share a ticker, a name or an alias.
    """

    def __init__(self, companies: Sequence[Company]) -> None:
        self.companies = tuple(companies)
        self._by_name = _index("name", [_names(company) for company in companies], companies)
        tickers = _index("ticker", [{_bare(company.ticker)} for company in companies], companies)
        spellings = [_spellings(company.ticker) for company in companies]
        # What follows from two tickers alike (000001 is a share in Shenzhen, an index in Shanghai)
        # stands for neither; what the list says itself stands.
        self._by_ticker = _unambiguous(spellings) | tickers
        patterns = {
            pattern: owner for spelling, owner in self._by_ticker.items() for pattern in _patterns(spelling)
        }
        # Names first: by its number, a match tells whether it is a name or a ticker.
        owners = self._by_name | {
            pattern: owner for pattern, owner in patterns.items() if pattern not in self._by_name
        }
        self._owners = list(owners.values())
        self._automaton = AhoCorasick(list(owners))

    @property
    def mentions(self) -> list[Mention]:
        """Each company of the list under its own name."""
        return [Mention(name=company.name, ticker=company.ticker) for company in self.companies]

    @property
    def tickers(self) -> list[str]:
        """The ticker of each company of the list."""
        return [company.ticker for company in self.companies]

    def find(self, text: str) -> list[Mention]:
        """The companies named in `text`, in the order of their first mention, each once.

        A mention carries the name that the text uses; the list's own where only the ticker is there.
        Of names that overlap the leftmost counts, and of those the longest.
        """
        if not unicodedata.is_normalized("NFKC", text):
            text = unicodedata.normalize("NFKC", text)
        folded = fold(text)
        matches = [
            (start, end, pattern)
            for pattern, start, end in self._automaton.find_matches_as_indexes(folded, overlapping=True)
            if stands_alone(folded, start, end)
        ]
        matches.sort(key=lambda match: (match[0], -match[1]))
        found: dict[int, Mention] = {}
        reached = 0
        for start, end, pattern in matches:
            if start < reached:
                continue
            reached = end
            owner = self._owners[pattern]
            if owner not in found:
                company = self.companies[owner]
                first, last = original(text, folded, start, end)
                name = text[first:last] if pattern < len(self._by_name) else company.name
                found[owner] = Mention(name=name, ticker=company.ticker)
        return list(found.values())

    def names_of(self, mention: Mention) -> tuple[str, ...]:
        """How a text may write a company: as `names_of` says, and by all its names on the list."""
        owner = self._by_ticker.get(_bare(mention.ticker)) if mention.ticker else None
        company = None if owner is None else self.companies[owner]
        others = (company.name, *company.aliases) if company else ()
        # A cashtag among the names is a ticker's form, too.
        names = sorted([*_own_name(mention), *others], key=lambda name: name.startswith("$"))
        return tuple(dict.fromkeys((*names, *_ticker_forms(mention))))

    def resolve(self, mention: Mention) -> Mention:
        """The company of an event with the list's ticker, if the list knows its ticker or its name."""
        owner = None
        if mention.ticker:
            owner = self._by_ticker.get(_bare(mention.ticker))
        if owner is None:
            owner = self._by_name.get(fold(normalise(mention.name)))
        if owner is None:
            return mention
        return mention.model_copy(update={"ticker": self.companies[owner].ticker})


def load_watchlist(file: Path) -> Watchlist:
    """Read a watch list; raise `WatchlistError` where it cannot be used."""
    try:
        # The base loader reads every scalar as text: a ticker may be ON, 000001 or 1e5.
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506
    except OSError as error:
        raise WatchlistError(f"cannot read the watch list {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise WatchlistError(f"the watch list {file} is not UTF-8: {error.reason}") from error
    except yaml.YAMLError as error:
        raise WatchlistError(f"the watch list {file} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise WatchlistError(f"the watch list {file} must hold a list under the key `entities`")
    try:
        return Watchlist(_File.model_validate(content).entities)
    except ValidationError as error:
        problems = [_described(content, problem) for problem in error.errors(include_url=False)]
    except WatchlistError as error:
        problems = str(error).splitlines()
    lines = [f"the watch list {file} cannot be used:", *(f"  {problem}" for problem in problems)]
    raise WatchlistError("\n".join(lines))


def _described(content: dict[str, Any], problem: ErrorDetails) -> str:
    """One of pydantic's errors in the words of the file: which entry, which key, what is wrong."""
    location = [str(part) for part in problem["loc"]]
    message = problem["msg"].removeprefix("Value error, ")
    if len(location) < 2:
        return f"{'.'.join(location)}: {message}"
    number = int(location[1])
    entry = content["entities"][number]
    name = entry.get("name") if isinstance(entry, dict) else None
    title = f"entry {number + 1} ({name})" if isinstance(name, str) else f"entry {number + 1}"
    return f"{title}: {'.'.join(location[2:]) or 'the entry'}: {message}"


def _names(company: Company) -> set[str]:
    return {fold(normalise(name)) for name in (company.name, *company.aliases)}


def _bare(ticker: str) -> str:
    """A ticker without what surrounds it in texts, in small letters."""
    return fold(normalise(ticker)).removeprefix("$").strip()


def _index(kind: str, forms: Sequence[Iterable[str]], companies: Sequence[Company]) -> dict[str, int]:
    """Whose each form is; `WatchlistError` where it is two companies'."""
    owners: dict[str, int] = {}
    problems = []
    for owner, own in enumerate(forms):
        for form in own:
            first = owners.setdefault(form, owner)
            if first != owner:
                problems.append(
                    f"entry {first + 1} ({companies[first].name}) and entry {owner + 1} "
                    f"({companies[owner].name}) share the {kind} {form!r}"
                )
    if problems:
        raise WatchlistError("\n".join(sorted(problems)))
    return owners


def _unambiguous(forms: Sequence[Iterable[str]]) -> dict[str, int]:
    """Whose each form is, without those of more than one company."""
    counts = Counter(form for own in forms for form in set(own))
    return {form: owner for owner, own in enumerate(forms) for form in own if counts[form] == 1}


def _spellings(ticker: str) -> set[str]:
    """The ways in which a ticker is written: 600519.SH is also 600519.SS, SH600519 and 600519."""
    bare = _bare(ticker)
    if _CODE.fullmatch(bare):
        suffixed = {f"{bare}.{exchange}" for exchange in ("sh", "ss", "sz", "bj")}
        return {bare, *suffixed, *(f"{exchange}{bare}" for exchange in ("sh", "sz", "bj"))}
    match = _SUFFIXED.fullmatch(bare)
    if match is None:
        return {bare}
    code, exchange = match["code"], match["exchange"]
    if exchange == "hk":  # 0700.HK, 700.HK and 00700.HK are one
        codes = {code.lstrip("0").zfill(width) for width in _HONG_KONG_WIDTHS}
        return {bare, *(f"{each}.hk" for each in codes), f"hk{code.lstrip('0').zfill(5)}"}
    exchanges = {exchange, _SHANGHAI.get(exchange, exchange)}
    return {code, *(f"{code}.{each}" for each in exchanges), *(f"{each}{code}" for each in exchanges)}


def _own_name(mention: Mention) -> list[str]:
    """Its name, unless that is the ticker once more."""
    return [] if mention.ticker and _bare(mention.name) == _bare(mention.ticker) else [mention.name]


def _ticker_forms(mention: Mention) -> list[str]:
    """How a text may write its ticker: as a cashtag first, as it stands last."""
    if not mention.ticker:
        return []
    bare = _bare(mention.ticker)
    forms = {f"${bare}", *(form for spelling in _spellings(bare) for form in _patterns(spelling))}
    return [
        *sorted(forms, key=lambda form: (not form.startswith("$"), form)),
        *([] if bare.isdecimal() or bare in forms else [bare.upper()]),
    ]


def _patterns(spelling: str) -> Iterator[str]:
    """What stands for a ticker in a text; a bare number or a short word does not."""
    if spelling.isdecimal():
        if _CODE.fullmatch(spelling):
            yield from (f"({spelling})", f"[{spelling}]", f"【{spelling}】")
        return
    yield f"${spelling}"
    if "." in spelling or len(spelling) > SHORT_TICKER:
        yield spelling
