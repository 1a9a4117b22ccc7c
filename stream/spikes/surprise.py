"""How surprising a window's count is by volume; this test carries the budget."""

from scipy import special

from stream.spikes.calendar import DAY

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
