"""Neurons whose rows are positive multiples of each other: their hinges have the same signs.

Of each class of twins only the first unit, the leader, has to cut; the others' labels follow from
its, and so does what they add to the slopes of the next layer. (A negative multiple is no twin:
where the leader vanishes on a whole region, one side of it is no news to the leader.)
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from splinecam._kernels.arrays import Mesh
from splinecam._kernels.fingerprints import sort_fingerprints
from splinecam.mesh import Shared, places_within
from splinecam.planar import Layer
from splinecam.program import Affine, MatMul, PiecewiseLinear, Program

CLOSE = 1e-9
"""Relative difference of two rows' fingerprints below which the rows are compared exactly."""


class Twins(NamedTuple):
    """Followers in ascending order, with the leader of each."""

    followers: np.ndarray  # (n,) int64, units of the layer
    leaders: np.ndarray  # (n,) int64
    ratios: np.ndarray  # (n,) float64: row of the follower over row of the leader


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
        found.append(_twins_of(before, step) if isinstance(before, Affine) else NO_TWINS)
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
    """Classes of rows that are exact positive multiples of each other and not zero.

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
    followers = np.array(sorted(leaders), np.int64)
    lead = np.array([leaders[unit] for unit in followers.tolist()], np.int64)
    pivots = np.abs(rows[lead]).argmax(axis=1)
    return Twins(followers, lead, rows[followers, pivots] / rows[lead, pivots])


@lru_cache
def _directions(width: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, width))


def _is_multiple(row: np.ndarray, other: np.ndarray) -> bool:
    """Whether a row is exactly a positive multiple of another one, neither of them zero."""
    pivot = int(np.abs(other).argmax())
    if row[pivot] * other[pivot] <= 0:
        return False
    ratio = row[pivot] / other[pivot]
    if np.frexp(ratio)[0] == 0.5:  # a power of two: products with it are exact
        return bool(np.array_equal(row, ratio * other))
    if not np.allclose(row, ratio * other, rtol=CLOSE, atol=0):
        return False
    exact = Fraction(row[pivot]) / Fraction(other[pivot])
    return all(Fraction(a) == exact * Fraction(b) for a, b in zip(row, other, strict=True))


def follow_signs(signs: np.ndarray, twins: Twins) -> np.ndarray:
    """Signs of hinges (H,) in a region, the followers' from the leaders'."""
    signs = signs.copy()
    signs[twins.followers] = signs[twins.leaders]
    return signs


def follow_kinks(kinks: np.ndarray, twins: Twins) -> np.ndarray:
    """Let the leaders' kinks (H, D) stand for those of their followers too."""
    if not len(twins.followers):
        return kinks
    together = kinks.copy()
    together[twins.followers] = 0.0
    np.add.at(together, twins.leaders, twins.ratios[:, None] * kinks[twins.followers])
    return together


def follow_labels(mesh: Mesh, shared: Shared, label: int, layer: Layer, twins: Twins) -> Shared:
    """Add the followers to all edges that their leaders made or share."""
    if not len(twins.followers):
        return shared
    order = np.argsort(twins.leaders, kind="stable")
    leaders = twins.leaders[order]
    made = np.flatnonzero((mesh.edge_labels >= label) & (mesh.edge_labels < label + layer.n_hinges))
    edges = np.concatenate([made, shared.edges])
    codes = np.concatenate([2 * mesh.edge_labels[made].astype(np.int64), shared.codes])
    units = (codes >> 1) - label
    start, stop = np.searchsorted(leaders, units), np.searchsorted(leaders, units, side="right")
    counts = stop - start
    which = order[np.repeat(start, counts) + places_within(counts)]
    followers = 2 * (label + twins.followers[which]) + np.repeat(codes & 1, counts)
    all_edges = np.concatenate([shared.edges, np.repeat(edges, counts)])
    all_codes = np.concatenate([shared.codes, followers])
    order = np.lexsort([all_codes, all_edges])
    return Shared(all_edges[order], all_codes[order])
