"""Just enough of PromQL to see what an expression names. It is no parser: Prometheus' own `promtool` is one."""

import re
from dataclasses import dataclass, field

AGGREGATIONS = {"avg", "count", "max", "min", "sum", "topk"}
FUNCTIONS = {
    "absent",
    "changes",
    "deriv",
    "histogram_quantile",
    "increase",
    "max_over_time",
    "rate",
    "time",
    "vector",
}
_LISTS = {"by", "without", "on", "ignoring"}
_WORDS = {"and", "offset", "or", "unless"}
_PAIRS = {")": "(", "]": "[", "}": "{"}
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"[^"]*")|(?P<number>\d[\w.]*)|(?P<name>[A-Za-z_]\w*)|(?P<sign>[=!]~|[=!<>]=|[^\s\w"]))"""
)


class PromqlError(ValueError):
    """An expression that cannot be right."""


@dataclass(slots=True)
class Selector:
    """A metric where an expression reads it."""

    metric: str
    place: int
    matchers: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Label: operator and value."""
    ranged: bool = False
    """Whether it is read over a time, as in `[5m]`."""
    absent: bool = False
    """Whether `absent(...)` begins with it, whose answer has the labels that are asked for."""


@dataclass(slots=True)
class Expression:
    """What an expression names."""

    selectors: list[Selector] = field(default_factory=list)
    calls: set[str] = field(default_factory=set)
    """Functions and aggregations."""
    groups: list[tuple[set[str], set[str]]] = field(default_factory=list)
    """For each `by (...)`: the labels, and the metrics that are aggregated."""

    @property
    def grouped(self) -> set[str]:
        return {label for labels, _ in self.groups for label in labels}

    @property
    def aggregates(self) -> bool:
        return bool(self.calls & AGGREGATIONS)


def read(text: str) -> Expression:
    """Take an expression apart; `PromqlError` for brackets that do not pair and names that it cannot place."""
    tokens = _tokens(text)
    ends = _pairs(tokens, text)
    expression = Expression()
    lists: list[tuple[int, set[str]]] = []
    place = 0
    while place < len(tokens):
        token = tokens[place]
        following = tokens[place + 1] if place + 1 < len(tokens) else ""
        if token == "[":
            place = ends[place]
        elif token in _LISTS:
            end = ends[place + 1]
            if token == "by":
                lists.append((end, {name for name in tokens[place + 2 : end] if name != ","}))
            place = end
        elif token in AGGREGATIONS | FUNCTIONS:
            expression.calls.add(token)
        elif token[0].isalpha() and token not in _WORDS:
            if following == "(":
                raise PromqlError(f"unknown function {token!r} in {text!r}")
            selector = Selector(token, place, absent=tokens[place - 2 : place] == ["absent", "("])
            if following == "{":
                selector.matchers = _matchers(tokens[place + 2 : ends[place + 1]], text)
                place = ends[place + 1]
            selector.ranged = tokens[place + 1 : place + 2] == ["["]
            expression.selectors.append(selector)
        place += 1
    for end, labels in lists:
        aggregated = {item.metric for item in expression.selectors if end + 1 < item.place < ends[end + 1]}
        expression.groups.append((labels, aggregated))
    return expression


def _tokens(text: str) -> list[str]:
    tokens, place = [], 0
    while text[place:].strip():
        match = _TOKEN.match(text, place)
        if match is None:
            raise PromqlError(f"cannot read {text[place:]!r}")
        tokens.append(match[0].strip())
        place = match.end()
    return tokens


def _pairs(tokens: list[str], text: str) -> dict[int, int]:
    """Where each opening bracket is closed."""
    open_, ends = list[int](), {}
    for place, token in enumerate(tokens):
        if token in _PAIRS.values():
            open_.append(place)
        elif token in _PAIRS:
            if not open_ or tokens[open_[-1]] != _PAIRS[token]:
                raise PromqlError(f"a {token!r} closes nothing in {text!r}")
            ends[open_.pop()] = place
    if open_:
        raise PromqlError(f"a {tokens[open_[-1]]!r} stays open in {text!r}")
    return ends


def _matchers(tokens: list[str], text: str) -> dict[str, tuple[str, str]]:
    matchers = {}
    for place in range(0, len(tokens), 4):
        label, operator, value, comma = [*tokens[place : place + 4], ",", ","][:4]
        if operator not in {"=", "!=", "=~", "!~"} or not value.startswith('"') or comma != ",":
            raise PromqlError(f"cannot read the matcher of {label!r} in {text!r}")
        matchers[label] = (operator, value.strip('"'))
    return matchers
