"""Floats as the integers that they are, times a power of two."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DIGITS = 53
"""Binary digits of a float64."""


def power_of(values: Floats) -> int:
    """The least k >= 0 for which all ``values * 2**k`` are integers."""
    mantissas, exponents = _digits(values)
    lowest_bits = np.frexp((mantissas & -mantissas).astype(np.float64))[1] - 1
    needed = -(exponents + lowest_bits)[mantissas != 0]
    return int(max(0, needed.max(initial=0)))


def integers(values: Floats, power: int) -> list[int]:
    """The integers ``values * 2**power``, for a `power` of at least `power_of(values)`."""
    mantissas, exponents = _digits(values)
    shifts = (exponents + power).tolist()
    return [m << s if s >= 0 else m >> -s for m, s in zip(mantissas.tolist(), shifts, strict=True)]


def _digits(values: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Integers m and exponents e with ``values = m * 2**e``."""
    fractions, exponents = np.frexp(values)
    return np.ldexp(fractions, DIGITS).astype(np.int64), exponents.astype(np.int64) - DIGITS
