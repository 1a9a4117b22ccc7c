"""The watch list: the companies to find in texts, and the subject that a company is counted under.

    entities:
      - name: 贵州茅台
        ticker: 600519.SH
        aliases: [茅台, Kweichow Moutai]
  - name: 中国银行
    ticker: 601988.SH
    not_in: [中国银行业, 中国银行间]

Errors:
    WatchlistError  one message that names the file and every entry and key that is wrong
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from ahocorasick_rs import AhoCorasick
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from stream.labels import ENTITY_SUBJECT
from stream.names import MAGNITUDES, SHORT_TICKER, fold, is_no_cashtag, origins, stands_alone
from stream.records import MAXIMUM_ID_CHARACTERS, Mention
from stream.text import normalise, simplified
from stream.yaml_file import TextLoader, read_yaml

_SHARE_CLASS = re.compile(r"(?P<stem>[a-z]+)[.\-/](?P<class>[a-z])")
_REUTERS = re.compile(r"(?P<stem>[a-z]+)\.(?:n|o|oq)")
"""Codes of New York: AAPL.O is AAPL."""
_LISTED = re.compile(r"(?P<stem>[a-z0-9]+)\.[a-z]{1,4}")
_SUFFIXED = re.compile(r"(?P<code>\d+)\.(?P<exchange>[a-z]{2,4})")
_CODE = re.compile(r"\d{6}")
_SHANGHAI = {"sh": "ss", "ss": "sh"}
_HONG_KONG_WIDTHS = range(1, 6)

# Tickers as texts have them without a sign of their own.
_WORD = re.compile(rf"(?<![A-Za-z0-9_])(?:[A-Z]{{1,{SHORT_TICKER}}}|[0-9]{{6}})(?![A-Za-z0-9_])")
_BRACKETED_LETTERS = 3
"""Fewer letters in brackets may be anything: (A), (IT)."""
_TELLING_LETTERS = 4
"""Fewer letters, also among small ones, may be a word: IT, ALL, NOW."""
_LEAST_LETTERS = 10
"""Fewer beside the tickers may be nothing but terms: AAPL EPS."""
_CASHTAG = re.compile(r"\$[A-Z.]+")
_EXCHANGE = re.compile(
    r"(?:(?<![a-z])(?:nasdaq(?: ?[gc][sm])?|nyse(?: american| arca)?|amex|otc(?:qb|qx|mkts)?|tsx|lse|lon|asx"
    r"|nse|bse|sse|szse)|纳斯达克|纽交所|上交所|深交所|北交所) ?: ?$",
    re.ASCII | re.IGNORECASE,
)
_LONGEST_EXCHANGE = 16
_RIC_BEHIND = re.compile(r"\.[A-Z]{1,3}>")
"""What follows a ticker in a Reuters code, <AAPL.O>."""
# Beside these, six digits are part of a number or say how much there is of something.
_NUMBER_BEFORE = re.compile(
    r"(?:[0-9],|\.|%|[$€£¥₹] ?|\b(?:for|of|to|by|from|than|at|about|over|nearly|usd|rmb|cny|hkd|eur) )$",
    re.IGNORECASE,
)
_LONGEST_BEFORE = 8
_NUMBER_BEHIND = re.compile(
    rf" (?:{'|'.join(MAGNITUDES)}|thousand|million|billion|trillion|shares|units|lots|yuan|rmb|cny|usd|hkd|eur"
    r"|dollars|euros|people|employees|workers|jobs|users|customers|cars|vehicles|tons|tonnes|barrels)\b"
    r"| ?(?:[%‰]|[余多]?(?:[元圆万亿手吨户台辆件张份]|股(?![价票吧东民本])|人(?!气)|[美港欧日]元|英镑|港币))"
    r"|[,.][0-9A-Za-z]",
    re.IGNORECASE,
)


_NOBODY = -1
"""The owner of words that only hide names."""


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
    not_in: Annotated[list[Alias], BeforeValidator(_some)] = Field(default_factory=list)
    """Longer words that have one of its names in them, and are not it."""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    entities: Annotated[list[Company], BeforeValidator(_some)]


def subject_of(mention: Mention) -> str:
    """The subject that a company is counted under: its ticker, or its name where it has none."""
    ticker = _bare(mention.ticker or "")
    # A name of invisible characters alone is left as it is: an empty one would join strangers.
    return ENTITY_SUBJECT + (ticker.upper() or fold(normalise(mention.name)) or mention.name)


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
        self._by_own_name = {fold(normalise(company.name)): owner for owner, company in enumerate(companies)}
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
        others = {fold(normalise(word)) for company in companies for word in company.not_in}
        owners |= dict.fromkeys(sorted(others - owners.keys()), _NOBODY)
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
        Of names that overlap the leftmost counts, and of those the longest. A short ticker or a bare code
        counts only where it can hardly be a word or a number.
        """
        return self._found(text, frozenset())

    def _found(self, text: str, taken: Collection[str]) -> list[Mention]:
        """The same, without those that are there by names which are `taken` alone."""
        if not unicodedata.is_normalized("NFKC", text):
            text = unicodedata.normalize("NFKC", text)
        folded = fold(text)
        cased = _cased(text, folded)
        matches = [
            (start, end, self._owners[pattern], pattern < len(self._by_name))
            for pattern, start, end in self._automaton.find_matches_as_indexes(folded, overlapping=True)
            if stands_alone(folded, start, end) and not is_no_cashtag(cased, start, end)
        ]
        matches += [(start, end, owner, False) for start, end, owner in self._bare_tickers(cased)]
        matches.sort(key=lambda match: (match[0], -match[1]))
        found: dict[int, Mention] = {}
        origin = origins(text, folded)
        reached = 0
        for start, end, owner, named in matches:
            if start < reached:
                continue
            reached = end
            if named and folded[start:end] in taken:
                continue
            if owner != _NOBODY and owner not in found:
                company = self.companies[owner]
                written = text[origin[start] : origin[end - 1] + 1]
                name = written if named else company.name
                found[owner] = Mention(name=name, ticker=company.ticker)
        return list(found.values())

    def _bare_tickers(self, text: str) -> list[tuple[int, int, int]]:
        """Where a text has short tickers and codes without a sign, and whose they are."""
        words = [
            (*match.span(), self._by_ticker[ticker])
            for match in _WORD.finditer(text)
            if (ticker := match[0].lower()) in self._by_ticker
        ]
        capitals = sum(
            end - start
            for start, end, _ in words
            if _TELLING_LETTERS <= end - start <= SHORT_TICKER and text[start - 1 : start] != "$"
        )
        shouted = capitals > 0 and _is_shouted(text, capitals)
        return [word for word in words if _is_ticker(text, *word[:2], shouted=shouted)]

    def names_of(self, mention: Mention) -> tuple[str, ...]:
        """How a text may write a company: as `names_of` says, and by all its names on the list."""
        owner = self._by_ticker.get(_bare(mention.ticker)) if mention.ticker else None
        company = None if owner is None else self.companies[owner]
        others = (company.name, *company.aliases) if company else ()
        # A cashtag among the names is a ticker's form, too.
        names = sorted([*_own_name(mention), *others], key=lambda name: name.startswith("$"))
        return tuple(dict.fromkeys((*names, *_ticker_forms(mention))))

    def resolve(self, mention: Mention) -> Mention:
        """The company of an event with the list's ticker, if the list knows its ticker or its name.

        Where the event has the ticker of another exchange, only the full name tells that it is another listing of
        the same company: an alias may be many companies'. Other codes tell nothing.
        """
        name, bare = fold(normalise(mention.name)), _bare(mention.ticker or "")
        forms = [bare, ric["stem"]] if (ric := _REUTERS.fullmatch(bare)) else [bare]
        owner = next((self._by_ticker[form] for form in forms if form in self._by_ticker), None)
        if owner is None:
            owner = self._by_name.get(name)
            listed = _LISTED.fullmatch(bare)
            if owner is not None and listed and self._by_own_name.get(name) != owner:
                own = _spellings(self.companies[owner].ticker)
                owner = owner if listed["stem"] in own else None
        if owner is None:
            return mention
        return mention.model_copy(update={"ticker": self.companies[owner].ticker})

    def find_beside(self, text: str, given: Iterable[Mention]) -> list[Mention]:
        """The companies named in `text` beside those of the event, as `resolve` gives them.

        Of a name that one of those has, the event itself says whose it is.
        """
        given = list(given)
        subjects = {subject_of(mention) for mention in given}
        taken = {fold(normalise(mention.name)) for mention in given}
        return [mention for mention in self._found(text, taken) if subject_of(mention) not in subjects]


def load_watchlist(file: Path) -> Watchlist:
    """Read a watch list; raise `WatchlistError` where it cannot be used."""
    # As text: a ticker may be ON, 000001 or 1e5.
    content = read_yaml(file, WatchlistError, "the watch list", TextLoader)
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


def _cased(text: str, folded: str) -> str:
    """The text as it is folded, but with its capitals: each character is where `folded` has it."""
    text = simplified(text)
    if len(text) == len(folded):
        return text
    return "".join(one if len(small := one.casefold()) == 1 else small for one in text)


def _is_ticker(text: str, start: int, end: int, *, shouted: bool) -> bool:
    """Whether a word in capitals, or six digits, that would be a ticker can hardly be anything else here."""
    word, before = text[start:end], text[start - 1 : start]
    if before == "<" and _RIC_BEHIND.match(text, end):
        return True
    if _EXCHANGE.search(text, max(0, start - _LONGEST_EXCHANGE), start):
        return True
    if word.isdecimal():
        if word.endswith("000") or _NUMBER_BEHIND.match(text, end):
            return False
        return not _NUMBER_BEFORE.search(text, max(0, start - _LONGEST_BEFORE), start)
    bracketed = before == "(" and text[end : end + 1] == ")"
    return len(word) >= (_BRACKETED_LETTERS if bracketed else _TELLING_LETTERS) and (bracketed or not shouted)


def _is_shouted(text: str, tickers: int) -> bool:
    """Whether most letters are capitals; cashtags, and so many letters of other tickers, left aside."""
    text = _CASHTAG.sub("", text)
    capitals, letters = sum(map(str.isupper, text)) - tickers, sum(map(str.isalpha, text)) - tickers
    return letters >= _LEAST_LETTERS and 2 * capitals > letters


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
    if ric := _REUTERS.fullmatch(bare):
        return {bare, ric["stem"]}
    if share := _SHARE_CLASS.fullmatch(bare):
        return {f"{share['stem']}{mark}{share['class']}" for mark in ".-/"}
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
    """How a text may write its ticker: as a cashtag first, as it stands last, a bare code behind all."""
    if not mention.ticker:
        return []
    bare = _bare(mention.ticker)
    forms = {f"${bare}", *(form for spelling in _spellings(bare) for form in _patterns(spelling))}
    return [
        *sorted(forms, key=lambda form: (not form.startswith("$"), form)),
        *([] if bare.isdecimal() or bare in forms else [bare.upper()]),
        *(spelling for spelling in _spellings(bare) if _CODE.fullmatch(spelling)),
    ]


def _patterns(spelling: str) -> Iterator[str]:
    """What stands for a ticker in any text; a bare number or a short word does not."""
    if spelling.isdecimal():
        if _CODE.fullmatch(spelling):
            yield from (f"({spelling})", f"[{spelling}]", f"【{spelling}】")
        return
    yield f"${spelling}"
    if not spelling.isalnum() or len(spelling) > SHORT_TICKER:
        yield spelling
