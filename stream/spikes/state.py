"""How numbers are packed into a subject's state, which is JSON of at most 4 KB.

Integers become the differences between neighbours, each in as few bytes as it needs, and these are compressed:
counts of neighbouring intervals and offsets of sibling partitions are close to each other. Bytes become base 64.
What cannot be unpacked raises ValueError.

Errors:
    StateError   a subject's state that cannot be read
"""

import base64
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class StateError(Exception):
    """A state that cannot be read: of another version of Downtick, or damaged."""


def pack_bytes(value: bytes) -> str:
    """`value` as text that fits into JSON."""
    return base64.b64encode(value).decode()


def unpack_bytes(text: str) -> bytes:
    """The inverse of `pack_bytes`."""
    return base64.b64decode(text, validate=True)


def pack_integers(values: Sequence[int]) -> str:
    """Whole numbers below 2^61 as text, short where neighbours are alike."""
    if not values:
        return ""
    numbers = np.array([0, *values], dtype=np.int64)
    differences = numbers[1:] - numbers[:-1]
    # The sign moves to the lowest bit, so that small negative numbers are short too.
    rest: npt.NDArray[np.int64] = (differences << 1) ^ (differences >> 63)
    sevens = [rest & 127]
    more = [(rest >> 7) != 0]
    while more[-1].any():
        rest = rest >> 7
        sevens.append(rest & 127)
        more.append((rest >> 7) != 0)
    written = np.stack([np.ones(len(values), dtype=bool), *more[:-1]], axis=1)
    table = np.stack(sevens, axis=1) | (np.stack(more, axis=1) << 7)
    return pack_bytes(zlib.compress(table[written].astype(np.uint8).tobytes()))


def unpack_integers(text: str) -> list[int]:
    """The inverse of `pack_integers`."""
    if not text:
        return []
    content = np.frombuffer(_decompress(unpack_bytes(text)), dtype=np.uint8).astype(np.int64)
    ends = content < 128
    if not ends[-1]:
        raise ValueError("packed integers are cut short")
    starts = np.flatnonzero(np.concatenate(([True], ends[:-1])))
    places = np.arange(len(content)) - np.repeat(starts, np.diff(starts, append=len(content)))
    zigzag = np.add.reduceat((content & 127) << (7 * places), starts)
    numbers: list[int] = np.cumsum((zigzag >> 1) ^ -(zigzag & 1)).tolist()
    return numbers


def _decompress(content: bytes) -> bytes:
    try:
        return zlib.decompress(content)
    except zlib.error as error:
        raise ValueError(f"packed integers are damaged: {error}") from error


def pack_floats(values: Floats) -> str:
    """Single-precision numbers as text, exactly."""
    return pack_bytes(values.astype("<f4").tobytes())


def unpack_floats(text: str) -> Floats:
    """The inverse of `pack_floats`."""
    return np.frombuffer(unpack_bytes(text), dtype="<f4").astype(np.float32)
