"""Reducing a reduced network further, on a smaller part of the slice.

The unsteady units of the part are a subset of those of the whole; the others' activations become
affine functions of those that stay.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from splinecam.network.bounds import UNIT_ROUNDOFF
from splinecam.network.planar import Floats
from splinecam.network.reduced import ReducedLayer, ReducedNetwork
from splinecam.network.reduction import Ground, Reach, judge
from splinecam.network.tournaments import Tournament

MANY_UNITS = 500
"""Old activations above which bounded forms are computed in float32: they need not be tight."""


def narrow(network: ReducedNetwork, corners: Floats) -> tuple[ReducedNetwork, Ground]:
    """The network on a convex polygon (n, 2) inside the one that it was reduced on."""
    return _Narrowing(network, corners).run()


class _Narrowing:
    """Forms of the old network's activations, in terms of u, v and the units that stay.

    All are (K, …) arrays, filled layer by layer; columns are u, v, the constant, and units.
    """

    def __init__(self, network: ReducedNetwork, corners: Floats):
        n_old = network.n_activations
        self._network = network
        self._ground = Ground(corners, np.zeros(0), np.zeros(0))
        is_coarse = n_old > MANY_UNITS
        self._roundoffs = np.array([[UNIT_ROUNDOFF], [2.0**-24 if is_coarse else UNIT_ROUNDOFF]])
        self._raw = np.zeros((n_old, 3 + n_old))
        self._bounded = np.zeros((n_old, 3 + n_old), np.float32 if is_coarse else np.float64)
        self._errors = np.zeros((2, n_old))
        self._magnitudes = np.zeros((2, n_old))
        self._folded = np.zeros(n_old, bool)  # steady, and not constantly zero
        self._kept = np.full(n_old, -1)  # the number of a unit that stays
        self._rest = network.rest.copy()
        self._won: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}

    def run(self) -> tuple[ReducedNetwork, Ground]:
        layers = []
        start = 0
        for layer in self._network.layers:
            if (narrowed := self._narrow(layer, start)) is not None:
                layers.append(narrowed)
            start += layer.n_units
        raw = self._raw_forms(self._network.weight, self._network.bias, start)
        network = replace(
            self._network,
            layers=tuple(layers),
            weight=np.delete(raw, 2, axis=1),
            bias=raw[:, 2],
            rest=self._rest,
            tournaments=self._narrowed_tournaments(),
        )
        return network, self._ground

    def _narrow(self, layer: ReducedLayer, start: int) -> ReducedLayer | None:
        """Take in one layer whose units are the old ones from `start` on."""
        live = np.flatnonzero((self._kept[:start] >= 0) | self._folded[:start])
        weight = layer.weight[:, 2 + live]
        bounded = self._bounded_forms(layer, weight, live)
        errors, sizes = self._rounding(layer, weight, live, start)
        reach = judge(layer, *self._ground.ranges(bounded, errors[1]))
        own = np.arange(start, start + layer.n_units)
        unsteady = np.flatnonzero(~reach.steady)
        sloping = np.flatnonzero(reach.steady & (reach.slopes != 0))
        read = np.concatenate([unsteady, sloping])
        raw = self._raw_forms(layer.weight[read], layer.bias[read], start)
        self._fold(own, raw[len(unsteady) :], reach, sloping)
        first_new = len(self._ground.largest)
        self._kept[own[unsteady]] = first_new + np.arange(len(unsteady))
        self._ground = self._ground.add(reach.largest[unsteady], reach.halves[unsteady])
        self._bound(own, bounded, reach, errors, sizes)
        self._record(layer, reach)
        if not len(unsteady):
            return None
        return self._chosen(layer, raw[: len(unsteady)], errors[0, unsteady], unsteady)

    def _raw_forms(self, weight: Floats, bias: Floats, n_known: int) -> Floats:
        """Raw forms (D, 3 + k) of rows over u, v and the old activations."""
        folded = np.flatnonzero(self._folded[:n_known])
        kept = np.flatnonzero(self._kept[:n_known] >= 0)
        forms = weight[:, 2 + folded] @ self._raw[folded, : 3 + len(self._ground.largest)]
        forms[:, 3 + self._kept[kept]] += weight[:, 2 + kept]
        forms[:, :2] += weight[:, :2]
        forms[:, 2] += bias
        return forms

    def _bounded_forms(self, layer: ReducedLayer, weight: Floats, live: np.ndarray) -> np.ndarray:
        """Bounded forms (D, 3 + k) of a layer's units; `weight` (D, n) is for live ones."""
        forms = weight.astype(self._bounded.dtype)
        forms = forms @ self._bounded[live, : 3 + len(self._ground.largest)]
        forms[:, :2] += layer.weight[:, :2]
        forms[:, 2] += layer.bias
        return forms

    def _rounding(
        self, layer: ReducedLayer, weight: Floats, live: np.ndarray, n_known: int
    ) -> tuple[Floats, Floats]:
        """Errors and sums of magnitudes (2, D) of raw and bounded forms."""
        old = np.abs(weight)
        extent = np.abs(self._ground.corners).max(axis=0)
        sums = np.concatenate([self._magnitudes[:, live], self._errors[:, live]]) @ old.T
        sizes, errors = sums[:2], sums[2:] + layer.bias_errors
        sizes += np.abs(layer.weight[:, :2]) @ extent + np.abs(layer.bias)
        folded = self._folded[live]
        exact, rounded = 2 * self._roundoffs.ravel()
        n_folded = np.count_nonzero(folded)
        errors[0] += exact * (n_folded + 5) * sizes[0] * (old @ folded.astype(np.float64) > 0)
        errors[1] += rounded * (n_known + 5) * sizes[1]
        return errors, sizes

    def _fold(self, own: np.ndarray, raw: Floats, reach: Reach, sloping: np.ndarray) -> None:
        """Set the raw forms of the steady units, from those of the sloping ones (n, 3 + k)."""
        folded = np.flatnonzero(reach.steady & ((reach.slopes != 0) | (reach.offsets != 0)))
        self._raw[own[sloping], : raw.shape[1]] = reach.slopes[sloping, None] * raw
        self._raw[own[folded], 2] += reach.offsets[folded]
        self._folded[own[folded]] = True

    def _bound(
        self, own: np.ndarray, bounded: np.ndarray, reach: Reach, errors: Floats, sizes: Floats
    ) -> None:
        """Set the bounded forms of the activations, and what rounding does to both forms."""
        unsteady = ~reach.steady
        shown = np.flatnonzero(unsteady | (reach.slopes != 0) | (reach.offsets != 0))
        self._bounded[own[shown], : bounded.shape[1]] = reach.slopes[shown, None] * bounded[shown]
        self._bounded[own, 2] += reach.offsets
        self._bounded[own[unsteady], 3 + self._kept[own[unsteady]]] = 1.0
        magnitudes = np.abs(reach.slopes) * sizes + np.abs(reach.offsets)
        magnitudes[0, unsteady] = reach.largest[unsteady]
        magnitudes[1, unsteady] += reach.halves[unsteady]
        self._magnitudes[:, own] = magnitudes
        errors = np.abs(reach.slopes) * errors + 4 * self._roundoffs * magnitudes
        errors[0, unsteady] = 0.0
        self._errors[:, own] = errors

    def _record(self, layer: ReducedLayer, reach: Reach) -> None:
        """Note what steady units rest at."""
        steady = np.flatnonzero(reach.steady)
        if layer.round is not None:
            self._won.setdefault(layer.step, []).append((~reach.steady, reach.pieces > 0))
        else:
            first = self._network.units.first_units[layer.step]
            self._rest[first + layer.units[steady]] = reach.pieces[steady]

    @staticmethod
    def _chosen(
        layer: ReducedLayer, raw: Floats, errors: Floats, unsteady: np.ndarray
    ) -> ReducedLayer:
        """A layer's unsteady units, given their raw forms and errors of these."""

        def rows(table: Floats) -> Floats:
            return table if len(table) == 1 else table[unsteady]

        is_kept = np.zeros(layer.n_units, bool)
        is_kept[unsteady] = True
        return replace(
            layer,
            weight=np.delete(raw, 2, axis=1),
            bias=raw[:, 2],
            breakpoints=rows(layer.breakpoints),
            slopes=rows(layer.slopes),
            anchors=rows(layer.anchors),
            bias_errors=errors,
            units=layer.units[unsteady],
            round=None if layer.round is None else layer.round.keep(is_kept),
        )

    def _narrowed_tournaments(self) -> dict[int, Tournament]:
        tournaments = dict(self._network.tournaments)
        for step, rounds in self._won.items():
            unsteady, won = (np.concatenate(parts) for parts in zip(*rounds, strict=True))
            if unsteady.all():
                continue
            tournaments[step] = tournaments[step].keep(unsteady, won)
            groups, places = tournaments[step].settled()
            self._rest[self._network.units.first_units[step] + groups] = places
        return tournaments
