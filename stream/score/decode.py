"""From a record's bytes to an event, or to the reason why it is none. Pure."""

import json
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from stream.records import DeadLetterReason, NewsEvent
from stream.text import normalise


@dataclass(frozen=True, slots=True)
class Decoded:
    """A readable event with its text as the model will see it: title and text, normalised, not empty."""

    event: NewsEvent
    text: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a record goes to the dead-letter topic."""

    reason: DeadLetterReason
    detail: str


def decode(value: bytes | None, *, maximum_bytes: int) -> Decoded | Rejection:
    """Read one raw record. Never raises: whatever cannot be read is a `Rejection`."""
    if value is None:
        return Rejection(DeadLetterReason.TOMBSTONE, "the record has no value")
    if len(value) > maximum_bytes:
        return Rejection(
            DeadLetterReason.TOO_LARGE, f"{len(value):,} bytes, more than the {maximum_bytes:,} allowed"
        )
    try:
        text = value.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Rejection(DeadLetterReason.NOT_UTF8, f"byte {error.start}: {error.reason}")
    try:
        # Not pydantic's own parser: that one refuses lone surrogates, which forums do produce.
        content = json.loads(text)
        if isinstance(content, dict):
            # Of fields that a producer added nothing is read, however deep they are nested.
            content = {key: _encodable(content[key]) for key in content if key in NewsEvent.model_fields}
    except (ValueError, RecursionError) as error:
        return Rejection(DeadLetterReason.NOT_JSON, str(error) or type(error).__name__)
    if not isinstance(content, dict):
        return Rejection(DeadLetterReason.INVALID, f"a JSON object is expected, not {_kind(content)}")
    return _validate(content)


def _validate(content: dict[str, Any]) -> Decoded | Rejection:
    missing = content.get("text") is None
    if missing and isinstance(content.get("title"), str):
        content["text"] = ""  # a headline alone is an event too
    elif missing:
        return Rejection(DeadLetterReason.NO_TEXT, "the event has no text")
    # A field of our own contract with nothing in it is as good as absent.
    given = {key: item for key, item in content.items() if key == "text" or not _is_blank(item)}
    if isinstance(given.get("entities"), list):
        given["entities"] = _companies(given["entities"])
    try:
        event = NewsEvent.model_validate(given)
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)
        ]
        return Rejection(DeadLetterReason.INVALID, "; ".join(problems[:5]))
    text = normalise(f"{event.title}\n{event.text}" if event.title else event.text)
    if not text:
        return Rejection(
            DeadLetterReason.NO_TEXT, "nothing is left of the text but links, tags and invisible characters"
        )
    return Decoded(event, text)


def _is_blank(value: Any) -> bool:  # any JSON value
    return value is None or (isinstance(value, str) and not value.strip())


def _companies(entities: list[Any]) -> list[Any]:
    """The same without empty fields; a mere string is a name.

    Without a name the ticker is a company's name; without either it is none.
    """
    found = []
    for entity in ({"name": entity} if isinstance(entity, str) else entity for entity in entities):
        if isinstance(entity, dict):
            given = {key: item for key, item in entity.items() if not _is_blank(item)}
            if "name" in given or "ticker" in given:
                found.append({"name": given.get("ticker"), **given})
        else:
            found.append(entity)
    return found


def _encodable(value: Any) -> Any:  # any JSON value
    """Drop lone surrogates from strings, also nested ones: they cannot be written as UTF-8 again."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "ignore").decode()
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return value


def _kind(value: Any) -> str:  # any JSON value
    names = {list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")
