"""How surprising a window's counts are: by volume, which carries the budget, and by share, the gate beside it."""

from scipy import special

DAY = 86_400
_SHARE_LEVEL = 0.002
# Where more false alarms than this are accepted a day, the gate would be stricter than the budget, and be all that
# decides.
_STRICT_BUDGET = 0.1
_USUAL_OTHERS = 0.3
_MOSTLY = 0.5
_NOT_FALLEN = 0.9
# Below this, looks would grow faster than the tail falls, and a larger count be less of a surprise: of a normal
# distribution z² P(Z ≥ z) falls from z = 1.19 on.
_FEWEST_LOOKS = 1.5


def volume_tail(count: float, mean: float, variance: float) -> float:
    """P(at least `count` | negative binomial with that mean and variance).

    The count may be a fraction (a sum of novelty weights): the tail is continued by the incomplete beta function.
    """
    if count <= 0:
        return 1.0
    excess = variance - mean
    if excess < 1e-6 * mean:
        return float(special.gammainc(count, mean))
    size = mean**2 / excess
    return float(special.betainc(count, size, mean / (mean + size)))


def alarms_per_day(count: float, mean: float, variance: float, window_seconds: float) -> tuple[float, float]:
    """How often a day such a count would be met by chance while the window slides, and its tail probability.

    A window that slides with the events is looked at again and again. Counting the clumps of a Poisson scan
    (Aldous 1989, "Probability Approximations via the Poisson Clumping Heuristic") gives tail × (k − μ)² / k of
    them in each window's length; a variance that is not the mean divides that factor, as for a Gaussian process.
    """
    tail = volume_tail(count, mean, variance)
    looks = max(_FEWEST_LOOKS, (count - mean) ** 2 / count * (mean / variance))
    return tail * looks * DAY / window_seconds, tail


def share_rises(
    negative: int,
    total: int,
    *,
    history_negative: float,
    history_total: float,
    others_chance: float,
    false_alarms_per_day: float,
) -> bool:
    """Whether the share of negatives is above usual: the others come as always, or its Beta-binomial tail says so.

    `others_chance` is the probability of so many events that are not negative, if these come as always;
    `false_alarms_per_day` the budget. Where most events always are negative, the share can
    hardly rise, and must only not have fallen, by a tenth or more.

    The gate stands beside a volume test at a level of some 1e-5, so its own level need not be that strict. But it
    is looked at again with every event, and in a burst in which all grows alike it must stay closed to the end
    (`python -m bench.spikes power --everything` tells how often it does not). With ten times the budget it is
    three times as loose, by the root. Where no more others came than usual there is no such burst, and nothing to
    keep out. If many more passed so, a subject with a season would have more false alarms than were asked for,
    since what it knows of its nights errs for all events alike.

    The Beta-binomial is matched by a binomial of as many trials as have its variance.
    """
    if others_chance > _USUAL_OTHERS:
        return True
    alpha, beta = history_negative + 0.5, history_total - history_negative + 1.5
    usual = alpha / (alpha + beta)
    if usual >= _MOSTLY:
        return negative >= _NOT_FALLEN * usual * total
    trials = total / (1 + (total - 1) / (alpha + beta + 1))
    successes = negative * trials / total
    tail = special.betainc(successes, trials - successes + 1, usual)
    return bool(tail < _SHARE_LEVEL * max(1.0, false_alarms_per_day / _STRICT_BUDGET) ** 0.5)


def chance_of_others(others: int, mean: float) -> float:
    """P(at least `others` events that are not negative | as many expected as `mean`), of a Poisson process.

    They may well vary more; then they seem rarer than they are, and their share decides.
    """
    return float(special.gammainc(others, mean)) if others else 1.0
