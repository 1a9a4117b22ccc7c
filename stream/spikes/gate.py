"""The gate beside the volume test: have negatives alone become more, or did everything grow alike?

Good news, or a company in everybody's mouth, brings more of all events, and more negatives among them. Three
accounts of a window are weighed by their likelihoods, as of Poisson processes:

    alike   negatives and others are as many times the usual
    alone   negatives are more, others come as always
    more    both are more, negatives more than others

How much better an account must be was chosen on simulated bursts (`python -m bench.spikes power`, with and without
`--everything`). It grows with the number of such windows that fit into a burst, since each is another chance to
err: while one account is true, another of given rates is ever e^x times as likely with a probability of at most
e^−x (Ville 1939, "Étude critique de la notion de collectif"); rates fitted to the window, as here, are likelier
still. Events come in clusters, so what they tell is divided by how much more than Poisson the balance of the two
kinds varies, and by how little is known of the usual share.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

_BURST_SECONDS = 6 * 3600
"""Bursts of everything of that length are to be kept out."""
# By how much, in logarithms, each account must be more likely than `alike` in a window as long as a burst.
_ALONE = -1.0
_MORE = 4.0
# Where more false alarms than this are accepted a day, the gate would be stricter than the budget, and be all that
# decides.
_STRICT_BUDGET = 0.1
_MOSTLY = 0.5
# So far below that share less and less is asked for.
_NEARLY = 0.15
_NOT_FALLEN = 0.9


@dataclass(frozen=True, slots=True)
class Part:
    """The events of a window, and what history makes one expect of them."""

    seconds: int
    negative: int
    others: int
    expected_negative: float
    expected_others: float
    history: float
    """How many events that rests on, decayed."""
    clustering: float
    """How much more than by Poisson's law the balance of negatives and others varies, at least 1."""

    @property
    def evidence(self) -> tuple[float, float]:
        """Logarithms of the likelihoods of `alone` and of `more`, over that of `alike`.

        Where negatives have grown no more than others they count as if they had grown as much, so that of one
        window no further negative is evidence against them.
        """
        growth = max(1.0, self.others / self.expected_others)
        negative = max(self.negative, growth * self.expected_negative)
        total, expected = negative + self.others, self.expected_negative + self.expected_others
        alone = _gain(negative, self.expected_negative) - _gain(total, expected)
        more = alone + (_gain(self.others, self.expected_others) if growth > 1 else 0.0)
        told = self.clustering * (1 + total / self.history)
        return alone / told, more / told

    @property
    def wanted(self) -> float:
        """How much more a window is asked for since it slides: the logarithm of how many fit into a burst."""
        return max(0.0, math.log(_BURST_SECONDS / self.seconds))


def _gain(count: float, mean: float) -> float:
    """By how much the logarithm of a Poisson likelihood rises with the mean at the count."""
    return count * math.log(count / mean) - count + mean


def opens(judged: Part, windows: Iterable[Part], *, false_alarms_per_day: float) -> bool:
    """Whether the negatives of the window that is `judged` are more by themselves.

    They are where none of the `windows` that end together speaks against `alone`: one of hours need not prefer it,
    one of minutes must clearly, since the others of a burst may be few in one of them by chance. Or where `more`
    is by far the better account of the judged one, lest a surge goes unseen on a day on which much is talked
    anyway.

    Of a subject most of whose events always are negative the share can hardly rise, and must only not have
    fallen, by a tenth or more; where it is not much less than half, a smaller rise will do. With ten times the
    budget the gate is three times as loose, by the root.
    """
    usual = judged.expected_negative / (judged.expected_negative + judged.expected_others)
    if usual >= _MOSTLY:
        return judged.negative >= _NOT_FALLEN * usual * (judged.negative + judged.others)
    allowance = 0.5 * math.log(max(1.0, false_alarms_per_day / _STRICT_BUDGET))
    asked = min(1.0, (_MOSTLY - usual) / _NEARLY)
    if judged.evidence[1] > asked * (_MORE + judged.wanted - allowance):
        return True
    return all(part.evidence[0] > _ALONE + part.wanted - allowance for part in windows)
