"""JSON lines in, JSON lines out: the format of `downtick score`. Knows no file and no model.

In, one object a line: `text`, or `title`, or both; `id` (any JSON value) and `entities` (objects with a
`name`) where known. Out, in the same order: `id` as given or null, per head of the bundle its label or
labels and its probabilities, and the entities as given, each with the sentiment towards it. For a line that
cannot be read or judged: `id`, `error`, `line` (its number, from 1). Blank lines are counted but not answered.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from pydantic import ValidationError

from stream.bundle import Head
from stream.engine.judgement import Judgement, Question, Verdict
from stream.labels import ENTITY_HEAD, SENTIMENT_HEAD, TOPIC_HEAD
from stream.records import MAXIMUM_ENTITIES, Mention
from stream.text import normalise
from stream.watchlist import Watchlist, names_of

MAXIMUM_LINE_BYTES = 64 * 1024 * 1024
"""A longer line is not read into memory."""

Fields = dict[str, Any]
Identifier = str | int | float | None

_PROBABILITIES = {TOPIC_HEAD: "topic_probabilities"}
"""Where the name is not the head's with `_probabilities` behind it."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that can be judged."""

    number: int
    end: int
    """Where it ends in the input, in bytes."""
    id: Identifier
    text: str
    """Title and text, normalised, not empty."""
    entities: list[Fields]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that cannot be judged, and why."""

    number: int
    end: int
    id: Identifier
    reason: str


class _FaultError(Exception):
    """What is wrong with a line."""


def read_lines(file: BinaryIO) -> Iterator[Line | Unreadable]:
    """Read a file to its end, blank lines left out; never raises for what stands in it."""
    for number, (raw, end) in enumerate(_cut(file), start=1):
        identifier: Identifier = None
        try:
            content = _parse(raw)
            if content is not None:
                identifier = _identifier(content)
                yield Line(number, end, identifier, _text(content), _entities(content))
        except _FaultError as fault:
            yield Unreadable(number, end, identifier, str(fault))


def companies(text: str, entities: list[Fields], watchlist: Watchlist | None) -> list[Fields]:
    """The given entities; with a watch list also their tickers, and the companies found in the text."""
    if watchlist is None:
        return entities
    known, given = [], []
    for entity in entities:
        mention = _mention(entity)
        if mention is None:
            known.append(entity)
            continue
        resolved = watchlist.resolve(mention)
        given.append(resolved)
        missing = mention.ticker is None and resolved.ticker is not None
        known.append(entity | {"ticker": resolved.ticker} if missing else entity)
    found = watchlist.find_beside(text, given)
    return [*known, *({"name": mention.name, "ticker": mention.ticker} for mention in found)]


def names(entity: Fields, watchlist: Watchlist | None) -> tuple[str, ...]:
    """How a text may write an entity."""
    mention = _mention(entity)
    if mention is None:
        return (entity["name"],)
    return names_of(mention) if watchlist is None else watchlist.names_of(mention)


def question(line: Line, entities: Sequence[Fields], watchlist: Watchlist | None) -> Question:
    """What the model is asked about a line and the companies in it."""
    return Question(line.text, tuple(names(entity, watchlist) for entity in entities))


def answer(line: Line, entities: Sequence[Fields], judgement: Judgement, heads: Sequence[Head]) -> Fields:
    """What is said of a judged line; `entities` are those of the question."""
    fields: Fields = {"id": line.id}
    for head in heads:
        if head.scope == "text":
            verdict = judgement[head.name]
            fields[head.name] = verdict.label if head.kind == "single" else list(verdict.labels)
            fields[_probabilities(head.name)] = verdict.probabilities
    judged = SENTIMENT_HEAD in judgement
    fields["entities"] = [
        entity | (_sentiment(judgement.towards(index, ENTITY_HEAD, SENTIMENT_HEAD)) if judged else {})
        for index, entity in enumerate(entities)
    ]
    return fields


def refusal(line: Unreadable) -> Fields:
    """What is said of a line that could not be read or judged."""
    return {"id": line.id, "error": line.reason, "line": line.number}


_encoder = json.JSONEncoder(ensure_ascii=False)
_escaping_encoder = json.JSONEncoder()
# They end a line for some readers, though not in JSON.
_LINE_ENDS = str.maketrans({end: f"\\u{ord(end):04x}" for end in "\u0085\u2028\u2029"})


def to_bytes(fields: Fields) -> bytes:
    """The fields as a line of UTF-8."""
    try:
        return _encoder.encode(fields).translate(_LINE_ENDS).encode() + b"\n"
    except UnicodeEncodeError:  # a lone surrogate, which only the escaped form can give back
        return _escaping_encoder.encode(fields).encode() + b"\n"


def _cut(file: BinaryIO) -> Iterator[tuple[bytes | None, int]]:
    """The file's lines, None for one that is too long, each with the position behind it."""
    end = 0
    while raw := file.readline(MAXIMUM_LINE_BYTES + 1):
        end += len(raw)
        too_long = len(raw) > MAXIMUM_LINE_BYTES
        while raw and not raw.endswith(b"\n") and too_long:
            raw = file.readline(MAXIMUM_LINE_BYTES)
            end += len(raw)
        yield (None if too_long else raw), end


def _parse(raw: bytes | None) -> Fields | None:
    if raw is None:
        raise _FaultError(f"longer than {MAXIMUM_LINE_BYTES:,} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _FaultError(f"not UTF-8: {error.reason} at byte {error.start + 1}") from error
    if not text.strip():
        return None
    try:
        content = json.loads(text, parse_constant=_finite, parse_float=_finite)
    except RecursionError as error:
        raise _FaultError("not JSON that can be read: nested too deeply") from error
    except json.JSONDecodeError as error:
        raise _FaultError(f"not JSON: {error.msg} at character {error.pos + 1}") from error
    except ValueError as error:
        raise _FaultError(f"not JSON: {error}") from error
    if not isinstance(content, dict):
        raise _FaultError(f"a JSON object is expected, not {_kind(content)}")
    return content


def _finite(number: str) -> float:
    """Refuse NaN and what is too large for a float: JSON could not give them back."""
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number:.20} is no number that JSON can give back")
    return value


def _identifier(content: Fields) -> Identifier:
    value: Any = content.get("id")
    if value is None or isinstance(value, str | int | float):
        return value
    raise _FaultError(f"`id` must be a string or a number, not {_kind(value)}")


def _text(content: Fields) -> str:
    title, text = content.get("title"), content.get("text")
    for name, value in (("title", title), ("text", text)):
        if value is not None and not isinstance(value, str):
            raise _FaultError(f"`{name}` must be a string, not {_kind(value)}")
    if text is None and not title:
        raise _FaultError("`text` is missing")
    joined = normalise(f"{title}\n{text or ''}" if title else text or "")
    if not joined:
        raise _FaultError("nothing is left of the text but links, tags and invisible characters")
    return joined


def _entities(content: Fields) -> list[Fields]:
    entities = content.get("entities")
    if entities is None:
        return []
    if not isinstance(entities, list):
        raise _FaultError(f"`entities` must be a list, not {_kind(entities)}")
    if len(entities) > MAXIMUM_ENTITIES:
        raise _FaultError(f"`entities` may be {MAXIMUM_ENTITIES} at most, and are {len(entities):,}")
    for index, entity in enumerate(entities):
        if not isinstance(entity, dict) or not isinstance(entity.get("name"), str):
            raise _FaultError(f"`entities[{index}]` must be an object with a `name`")
    return entities


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    names = {list: "a list", dict: "an object", str: "a string", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _probabilities(head: str) -> str:
    return _PROBABILITIES.get(head, f"{head}_probabilities")


def _sentiment(verdict: Verdict) -> Fields:
    return {
        SENTIMENT_HEAD: verdict.label,
        _probabilities(SENTIMENT_HEAD): verdict.probabilities,
    }


def _mention(entity: Fields) -> Mention | None:
    """The entity as the stream would read it, if it could."""
    try:
        return Mention.model_validate({"name": entity["name"], "ticker": entity.get("ticker")})
    except ValidationError:
        return None
