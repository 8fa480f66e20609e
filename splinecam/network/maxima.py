"""Max groups while a network is reduced: who may win a window, and the nodes that decide it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from splinecam.common.types import Floats
from splinecam.exact import Row
from splinecam.network.bounds import UNIT_ROUNDOFF
from splinecam.network.candidates import Ints, Pool, first_equal, join_sizes, prove_equal, repeated
from splinecam.network.planar import Layer
from splinecam.network.reduction import judge
from splinecam.network.tournaments import Round, Tournament
from splinecam.network.unsteady import NO_ERROR, UnsteadyUnits


class MaxStep:
    """A max step that is reduced.

    Parameters
    ----------
    members : ndarray
        (groups, places) int64: entries of the step's input; -1 in the padding.
    pool : Pool
        These entries.
    units : UnsteadyUnits
        Of the steps before; the nodes that are not steady are added.
    name : str
    number : int
        The step's, among the piecewise-linear ones.
    """

    def __init__(self, members: Ints, pool: Pool, units: UnsteadyUnits, name: str, number: int):
        self._members = members
        self._pool = pool
        self._units = units
        self._name = name
        self._number = number

    def play(
        self, rows: Callable[[list[tuple[int, int]]], list[Row]]
    ) -> tuple[Tournament, Floats, Floats, Floats]:
        """The tournament, raw and bounded forms (G, 3 + k) of the maxima, and sizes (5, G).

        `rows` looks up members, by groups and places, in the exact network.
        """
        pool, members = self._pool, self._members
        contending = self._contending(rows)
        # Contenders move up to the front; each stands for the places up to the next one.
        order = np.argsort(~contending, axis=1, kind="stable")[:, : contending.sum(axis=1).max()]
        is_hole = ~np.take_along_axis(contending, order, axis=1)
        candidates = np.where(is_hole, -1, np.take_along_axis(members, order, axis=1))
        starts = np.pad(
            np.where(is_hole, members.shape[1], order),
            ((0, 0), (0, 1)),
            constant_values=members.shape[1],
        )
        while candidates.shape[1] > 1:
            candidates, starts = self._play_round(candidates, starts)
        winners = candidates[:, 0]
        raw, bounded = pool.forms(winners)
        sizes = pool.sizes[:, winners]
        sizes[2:4] = self._units.magnitudes(raw, bounded)
        return Tournament(members, pool.children, pool.codes[winners]), raw, bounded, sizes

    def _contending(self, rows: Callable[[list[tuple[int, int]]], list[Row]]) -> NDArray[np.bool_]:
        """Which members (groups, places) may win somewhere.

        Others are below another one on the whole slice, or equal to an earlier one, as in even
        parts of a picture.
        """
        pool, members = self._pool, self._members
        raw, bounded = pool.forms(np.arange(pool.sizes.shape[1]))
        lowest, highest = self._units.ground.ranges(bounded, pool.sizes[1])
        is_member = members >= 0
        best = np.where(is_member, lowest[members], -np.inf).max(axis=1)
        contending = is_member & (highest[members] >= best[:, None])
        classes = np.full(len(raw) + 1, -1)
        used = np.unique(members[contending])
        classes[used] = used[first_equal(raw[used])]
        groups, places, earlier = repeated(np.where(contending, members, -1), classes)
        are_equal = prove_equal(
            pool.sizes[:, members[groups, places]],
            pool.sizes[:, members[groups, earlier]],
            list(zip(groups.tolist(), places.tolist(), strict=True)),
            list(zip(groups.tolist(), earlier.tolist(), strict=True)),
            rows,
        )
        contending[groups[are_equal], places[are_equal]] = False
        return contending

    def _play_round(
        self, candidates: np.ndarray, starts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compare neighbouring candidates (groups, n) of all windows; return the winners.

        `starts` (groups, n + 1) are the first places that candidates stand for, and the end.
        """
        if candidates.shape[1] % 2:
            candidates = np.column_stack([candidates, np.full(len(candidates), -1)])
            starts = np.column_stack([starts, starts[:, -1]])
        earlier, later = candidates[:, ::2], candidates[:, 1::2]
        winners = np.where(earlier < 0, later, earlier)
        groups, pairs = np.nonzero((earlier >= 0) & (later >= 0))
        if not len(groups):
            return winners, starts[:, ::2]
        both = np.column_stack([earlier[groups, pairs], later[groups, pairs]])
        matches, which = np.unique(both, axis=0, return_inverse=True)
        which = which.reshape(-1)
        raw, bounded, sizes = self._pool.differences(matches)
        reach = judge(_RELU, *self._units.ground.ranges(bounded, sizes[1]))
        nodes = np.flatnonzero(~reach.steady)
        number_of = np.full(len(matches), -1)
        number_of[nodes] = np.arange(len(nodes))
        shown = number_of[which] >= 0
        group, place = groups[shown], 2 * pairs[shown] + 1
        spans = starts[group, place], starts[group, place + 1]
        round_ = Round(number_of[which[shown]], group, *spans)
        self._units.add(_RELU, self._name, self._number, raw, sizes[0], nodes, reach, round_)
        results = np.where(reach.pieces > 0, matches[:, 1], matches[:, 0])
        made = [
            self._units.activated(x[nodes], reach.take(nodes), np.arange(len(nodes)), i == 0)
            for i, x in enumerate((raw, bounded))
        ]
        magnitudes = self._units.magnitudes(*made)
        errors = np.zeros_like(magnitudes)
        errors[1] = np.abs(reach.slopes[nodes]) * sizes[1, nodes]
        errors[1] += 4 * UNIT_ROUNDOFF * magnitudes[1]
        made_sizes = join_sizes(errors, magnitudes, np.ones(len(nodes)))
        results[nodes] = self._pool.add(matches[nodes], made[0], made[1], made_sizes)
        winners[groups, pairs] = results[which]
        return winners, starts[:, ::2]


_RELU = Layer(
    name="",
    weight=np.zeros((1, 2)),
    bias=np.zeros(1),
    breakpoints=np.zeros((1, 1)),
    slopes=np.array([[0.0, 1.0]]),
    anchors=np.zeros(1),
    weight_errors=NO_ERROR,
    bias_errors=NO_ERROR,
)
