"""How much more than a Poisson process a subject's counts vary, estimated at the scale of each window.

News comes in clusters, so counts vary more than Poisson, and the more the longer the window. The dispersion of
a window length is the variance of counts in such windows relative to their expectation, never less than 1. It is
estimated in the same way of any other difference whose variance a Poisson process would tell.
"""

import math
from collections.abc import Sequence

import numpy as np

from stream.spikes.calendar import DAY
from stream.spikes.state import Floats

# Before data speak: half more than Poisson at the shortest window, with the weight of ten blocks of counts. The
# estimate of each longer window starts from that of the shorter one before it.
_PRIOR = 1.5
_PRIOR_BLOCKS = 10


class Dispersion:
    """Decayed squares of differences from forecasts, in successive blocks of each window's length."""

    def __init__(self, windows: Sequence[int], half_life_days: float) -> None:
        self._windows = windows
        self._half_life = half_life_days * DAY
        # By window: sum of squared differences, of a Poisson process's variances, of blocks.
        self._sums: Floats = np.zeros((len(windows), 3), dtype=np.float32)
        self._ratios: list[float] = []
        self._estimate()

    def __getitem__(self, window: int) -> float:
        """Dispersion at the scale of the window with that index."""
        return self._ratios[window]

    def age(self, window: int, blocks: int) -> None:
        """Let so many blocks pass that tell nothing."""
        self._age(window, blocks)
        self._estimate()

    def _age(self, window: int, blocks: int) -> None:
        self._sums[window] *= np.float32(0.5 ** (blocks * self._windows[window] / self._half_life))

    def learn(self, window: int, difference: float, variance: float, blocks: int = 1) -> None:
        """Take what one block's count differs from its forecast, and the variance of a Poisson process there.

        Of several `blocks` at once all are alike.
        """
        square, mean = blocks * difference**2, blocks * variance
        self._age(window, blocks)
        self._sums[window] += np.array([square, mean, blocks], dtype=np.float32)
        self._estimate()

    def _estimate(self) -> None:
        self._ratios = []
        ratio = _PRIOR
        for square, mean, blocks in self._sums.tolist():
            if mean > 0:
                # A Poisson block's square has the variance μ + 2μ²: few events tell as little as few blocks.
                known = 2 / (1 / mean + 2 / blocks)
                ratio = (square / mean * known + ratio * _PRIOR_BLOCKS) / (known + _PRIOR_BLOCKS)
            ratio = max(1.0, ratio)
            self._ratios.append(ratio)

    def near(self, seconds: int) -> float:
        """Dispersion at the scale of the window whose length is nearest to `seconds`."""
        distances = [abs(math.log(window / seconds)) for window in self._windows]
        return self._ratios[distances.index(min(distances))]

    @property
    def size(self) -> int:
        """How many numbers its state has."""
        return self._sums.size

    def dump(self) -> Floats:
        """The sums as numbers, three for each window."""
        return self._sums.ravel()

    def load(self, numbers: Floats) -> None:
        """Read what `dump` made."""
        self._sums = numbers.reshape(self._sums.shape).copy()
        self._estimate()
