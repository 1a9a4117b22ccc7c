"""How a model reads a text, in training and in the stream: under pseudonyms, with its figures compared."""

from collections.abc import Sequence
from dataclasses import dataclass

from stream.comparisons import marks
from stream.names import Span, rewrite
from stream.pseudonyms import NO_PSEUDONYMS, Pseudonyms, pseudonymise
from stream.text import plain


@dataclass(frozen=True, slots=True)
class Reading:
    """What is done to a normalised text before it is cut into tokens."""

    pseudonyms: Pseudonyms = NO_PSEUDONYMS
    """The names that its companies have then."""
    compares_figures: bool = False
    """Whether it says of figures that a text compares which is the greater one."""

    def __call__(self, text: str, places: Sequence[Sequence[Span]] = ()) -> tuple[str, list[list[Span]]]:
        """The text as it is cut, and where it has each company then; `places`: where it had."""
        text, named = pseudonymise(plain(text), places, self.pseudonyms)
        additions = marks(text) if self.compares_figures else []
        if not additions:
            return text, named
        changed, _ = rewrite(text, [((place, place), words) for place, words in additions])
        return changed, [
            [
                (
                    start + sum(len(words) for place, words in additions if place <= start),
                    end + sum(len(words) for place, words in additions if place < end),
                )
                for start, end in spans
            ]
            for spans in named
        ]


AS_IT_STANDS = Reading()
