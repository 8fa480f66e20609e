"""Neurons whose rows are multiples of each other: their hinges vanish in the same places.

Of each class of twins only the first unit, the leader, has to cut. For a follower z' = r z with an
exact ratio r,

- the sign of z' is that of z, times that of r;
- across an edge that z makes, z has opposite signs, so z' rises in the same direction for r > 0 and
  in the other one for r < 0;
- along an older edge where z vanishes, either side may have z > 0, z < 0 or z = 0 throughout; the
  edge bends z' if z' > 0 on one side alone, which for r < 0 is not where it bends z;
- from where z crosses zero on, whichever way, the slope of the activation along a line changes by
  the unit's kink (its slope above the breakpoint minus that below) times abs(dz/dt), so a
  follower's counts abs(r) times.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from splinecam._kernels.fingerprints import sort_fingerprints
from splinecam.cutting.mesh import places_within
from splinecam.exact.dyadic import integers, power_of
from splinecam.program import Affine, MatMul, PiecewiseLinear, Program

CLOSE = 1e-9
"""Relative difference of two rows' fingerprints below which the rows are compared exactly."""


class Twins(NamedTuple):
    """Followers in the order of their leaders."""

    followers: np.ndarray  # (n,) int64, units of the layer
    leaders: np.ndarray  # (n,) int64, ascending
    ratios: np.ndarray  # (n,) float64: row of the follower over row of the leader

    def follow(self, hinges: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The followers of hinges (n,).

        Returns which of the n is followed, by which hinge, and the sign of the ratio, each (m,).
        """
        start = np.searchsorted(self.leaders, hinges)
        counts = np.searchsorted(self.leaders, hinges, side="right") - start
        which = np.repeat(np.arange(len(hinges)), counts)
        places = np.repeat(start, counts) + places_within(counts)
        return which, self.followers[places], np.sign(self.ratios[places]).astype(np.int8)

    def follow_codes(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The followers on edges across which the hinges of codes (n,) change their signs.

        A code is ``2 h``, or ``2 h + 1`` where hinge h is positive on the right. Returns which of
        the n is followed, and the codes of the followers, each (m,).
        """
        which, followers, turned = self.follow(codes >> 1)
        return which, 2 * followers + ((codes[which] & 1) ^ (turned < 0))

    def follow_signs(self, signs: np.ndarray) -> np.ndarray:
        """Signs of hinges (H,) in a region, the followers' from the leaders'."""
        signs = signs.copy()
        signs[self.followers] = signs[self.leaders] * np.sign(self.ratios)
        return signs

    def follow_kinks(self, kinks: np.ndarray) -> np.ndarray:
        """Let the leaders' kinks (H, D) stand for those of their followers too."""
        if not len(self.followers):
            return kinks
        together = kinks.copy()
        together[self.followers] = 0.0
        added = np.abs(self.ratios)[:, None] * kinks[self.followers]
        np.add.at(together, self.leaders, added)
        return together


NO_TWINS = Twins(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


def find_twins(program: Program) -> list[Twins]:
    """Proportional rows in front of each piecewise-linear step, exactly.

    Looked at are units with their only breakpoint at 0 that take their values from a matrix
    product with vectors.
    """
    found = []
    for step in program.piecewise_steps:
        source = step.inputs[0]
        before = program.steps[source - 1] if source else None
        if isinstance(before, Affine) and isinstance(step, PiecewiseLinear):
            found.append(_twins_of(before, step))
        else:
            found.append(NO_TWINS)
    return found


def _twins_of(before: Affine, step: PiecewiseLinear) -> Twins:
    if not isinstance(before.linear, MatMul) or len(step.shape) != 1:
        return NO_TWINS
    breakpoints = step.breakpoints.numpy()
    if len(breakpoints) != 1 or breakpoints.any():
        return NO_TWINS
    weight = before.linear.weight.numpy()
    offset = np.zeros(1) if before.offset is None else before.offset.numpy().ravel()
    return _proportional(weight, offset)


def _proportional(weight: np.ndarray, offset: np.ndarray) -> Twins:
    """Classes of rows that are exact multiples of each other and not zero.

    The rows are those of `weight` (D, n), each with its entry of `offset` (D or 1,) appended.
    """
    prints, order = sort_fingerprints(weight, offset, _directions(weight.shape[1] + 1))
    near = prints[1:] - prints[:-1] <= CLOSE
    if not near.any():
        return NO_TWINS
    rows = np.column_stack([weight, np.broadcast_to(offset, len(weight))])
    leaders: dict[int, int] = {}
    for run in np.split(order, np.flatnonzero(~near) + 1):
        heads: list[int] = []
        for unit in np.sort(run).tolist():
            leader = next((h for h in heads if _is_multiple(rows[unit], rows[h])), None)
            if leader is None:
                heads.append(unit)
            else:
                leaders[unit] = leader
    followers = np.array(sorted(leaders, key=lambda unit: (leaders[unit], unit)), np.int64)
    lead = np.array([leaders[unit] for unit in followers.tolist()], np.int64)
    pivots = np.abs(rows[lead]).argmax(axis=1)
    return Twins(followers, lead, rows[followers, pivots] / rows[lead, pivots])


@lru_cache
def _directions(width: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, width))


def _is_multiple(row: np.ndarray, other: np.ndarray) -> bool:
    """Whether a row is exactly a multiple of another one, neither of them zero."""
    pivot = int(np.abs(other).argmax())
    if row[pivot] == 0 or other[pivot] == 0:
        return False
    ratio = row[pivot] / other[pivot]
    if abs(np.frexp(ratio)[0]) == 0.5:  # a power of two: scaling up by it is exact
        up = ratio * other if abs(ratio) >= 1 else other
        return bool(np.array_equal(up, row if abs(ratio) >= 1 else row / ratio))
    if not np.allclose(row, ratio * other, rtol=CLOSE, atol=0):
        return False
    entries, others = (integers(values, power_of(values)) for values in (row, other))
    p, q = entries[pivot], others[pivot]
    return all(a * q == b * p for a, b in zip(entries, others, strict=True))
