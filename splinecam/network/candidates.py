"""Candidates of max groups while a network is reduced: their forms, and which are equal.

Forms are those of `splinecam.network.reduction`; their *sizes* (5, N) are errors of the raw and of
the bounded form, the sums of their terms' absolute values, and 0 for a value that cannot depend on
any unsteady unit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from splinecam.common.types import Floats
from splinecam.errors import UnsupportedLayerError
from splinecam.exact import Row
from splinecam.network.bounds import UNIT_ROUNDOFF

Ints = NDArray[np.int64]
Place = TypeVar("Place", int, tuple[int, int])


class Pool:
    """Candidates of a max step: the entries of its input, and the winners of nodes.

    Parameters
    ----------
    raw, bounded : ndarray
        (N, 3 + k) float64: of the entries.
    sizes : ndarray
        (5, N) float64.

    Attributes
    ----------
    codes : ndarray
        (n,) int64: the codes of the candidates in the `Tournament`.
    children : ndarray
        (nodes, 2) int64: as in a `Tournament`.
    sizes : ndarray
        (5, n) float64.
    """

    def __init__(self, raw: Floats, bounded: Floats, sizes: Floats):
        # Later candidates are in blocks of their own: they have more columns.
        self._blocks = [(raw, bounded)]
        self._starts = [0, len(raw)]
        self.sizes = sizes
        self.codes: Ints = -1 - np.arange(len(raw))
        self.children: Ints = np.empty((0, 2), np.int64)

    def forms(self, candidates: Ints) -> tuple[Floats, Floats]:
        """Raw and bounded forms (n, 3 + k), of as many columns as the latest have."""
        width = self._blocks[-1][0].shape[1]
        raw, bounded = np.zeros((2, len(candidates), width))
        for block, start, stop in zip(
            self._blocks, self._starts[:-1], self._starts[1:], strict=True
        ):
            own = np.flatnonzero((candidates >= start) & (candidates < stop))
            for form, part in zip((raw, bounded), block, strict=True):
                form[own, : part.shape[1]] = part[candidates[own] - start]
        return raw, bounded

    def differences(self, matches: Ints) -> tuple[Floats, Floats, Floats]:
        """Forms and sizes of the later minus the earlier candidate of matches (n, 2)."""
        earlier, later = (self.forms(candidates) for candidates in matches.T)
        negated = (-form for form in earlier)
        return self._sums(matches, zip(later, negated, strict=True), self.sizes[:, matches[:, 1]])

    def add(self, matches: Ints, raw: Floats, bounded: Floats, sizes: Floats) -> Ints:
        """Add the winners: the earlier ones plus the nodes' activations; their numbers."""
        earlier = (_padded(form, raw.shape[1]) for form in self.forms(matches[:, 0]))
        pairs = zip(earlier, (raw, bounded), strict=True)
        raw, bounded, sizes = self._sums(matches, pairs, sizes)
        self._blocks.append((raw, bounded))
        self._starts.append(self._starts[-1] + len(raw))
        self.sizes = np.concatenate([self.sizes, sizes], axis=1)
        n_nodes = len(self.children)
        self.children = np.concatenate([self.children, self.codes[matches]])
        self.codes = np.concatenate([self.codes, n_nodes + np.arange(len(matches))])
        return np.arange(*self._starts[-2:])

    def _sums(
        self, matches: Ints, pairs: zip[tuple[Floats, Floats]], sizes: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Sums of forms, one of which belongs to the earlier candidates, and their sizes."""
        sizes = self.sizes[:, matches[:, 0]] + sizes
        (raw, raw_rounded), (bounded, bounded_rounded) = (_sum(x, y) for x, y in pairs)
        sizes[:2] += 2 * UNIT_ROUNDOFF * np.stack([raw_rounded, bounded_rounded]) * sizes[2:4]
        return raw, bounded, sizes


def first_equal(rows: Floats) -> Ints:
    """The first of the rows (n, k) that each of them equals, (n,).

    Examples
    --------
    >>> first_equal(np.array([[1.0, 2.0], [0.0, 3.0], [1.0, 2.0], [-0.0, 3.0]])).tolist()
    [0, 1, 0, 1]
    """
    # Sums of bits, each times its own number: the same for equal rows, and hardly for others.
    factors = np.random.default_rng(0).integers(2**63, size=rows.shape[1], dtype=np.uint64)
    prints = np.ascontiguousarray(rows + 0.0).view(np.uint64) @ (2 * factors + np.uint64(1))
    _, first, inverse = np.unique(prints, return_index=True, return_inverse=True)
    leaders = first[inverse]
    return np.where((rows == rows[leaders]).all(axis=1), leaders, np.arange(len(rows)))


def repeated(members: Ints, classes: Ints) -> tuple[Ints, Ints, Ints]:
    """Members of groups that are of the same class as an earlier one in their group.

    Parameters
    ----------
    members : ndarray
        (groups, places); -1 in the padding.
    classes : ndarray
        (N + 1,): of the entries; -1 for the last, which stands for the padding.

    Returns
    -------
    groups, places, earlier : ndarray
        (n,): the group of each such member, its place, and the first place of its class.

    Examples
    --------
    >>> members = np.array([[0, 1, 2, -1, -1]])
    >>> [part.tolist() for part in repeated(members, np.array([7, 8, 7, -1]))]
    [[0], [2], [0]]
    """
    order = np.argsort(classes[members], axis=1, kind="stable")
    ordered = np.take_along_axis(classes[members], order, axis=1)
    starts = np.ones(ordered.shape, bool)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    runs = np.maximum.accumulate(np.where(starts, np.arange(ordered.shape[1]), 0), axis=1)
    groups, columns = np.nonzero(~starts & (ordered >= 0))
    return groups, order[groups, columns], order[groups, runs[groups, columns]]


def join_sizes(errors: Floats, magnitudes: Floats, doubts: Floats) -> Floats:
    """Sizes (5, N) of forms.

    Parameters
    ----------
    errors : ndarray
        (2, N): of both forms.
    magnitudes : ndarray
        (2, N): sums of the terms' absolute values.
    doubts : ndarray
        (N,): 0 for a value that cannot depend on any unsteady unit, else positive.
    """
    return np.concatenate([errors, magnitudes, doubts[None]])


def prove_equal(
    sizes: Floats,
    other_sizes: Floats,
    places: list[Place],
    other_places: list[Place],
    rows: Callable[[list[Place]], list[Row]],
) -> NDArray[np.bool_]:
    """Which pairs of values (n,) with equal raw forms are exactly equal on the whole slice.

    They are if the forms have no errors. Others are looked up in the exact network, if no
    unsteady unit matters for them.
    """
    proved = (sizes[0] == 0) & (other_sizes[0] == 0)
    asked = np.flatnonzero(~proved & (sizes[4] == 0) & (other_sizes[4] == 0)).tolist()
    if asked:
        try:
            some, others = (rows([at[i] for i in asked]) for at in (places, other_places))
        except UnsupportedLayerError:  # what is not proved takes time, nothing else
            return proved
        proved[asked] = [row == other for row, other in zip(some, others, strict=True)]
    return proved


def _sum(x: Floats, y: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """The sum of forms (N, 3 + k), and in which rows any entry is rounded.

    The rounding of a sum is a float that five more sums give (Knuth, The Art of Computer
    Programming 2, §4.2.2).
    """
    total = x + y
    part = total - x
    return total, np.asarray(((x - (total - part)) + (y - part)).any(axis=1))


def _padded(form: Floats, width: int) -> Floats:
    """A form (N, 3 + k) with zeros for units that came later."""
    return np.pad(form, ((0, 0), (0, width - form.shape[1])))
