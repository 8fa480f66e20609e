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
        raw, _ = self._pushed(self._network.weight, self._network.bias, start)
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
        raw, bounded = self._pushed(layer.weight, layer.bias, start)
        errors, sizes = self._rounding(layer, raw, bounded, start)
        reach = judge(layer, *self._ground.ranges(bounded, errors[1]))
        own = np.arange(start, start + layer.n_units)
        unsteady = np.flatnonzero(~reach.steady)
        first_new = len(self._ground.largest)
        self._kept[own[unsteady]] = first_new + np.arange(len(unsteady))
        self._ground = self._ground.add(reach.largest[unsteady], reach.halves[unsteady])
        self._activate(own, raw, bounded, reach, errors, sizes)
        self._record(layer, reach)
        if not len(unsteady):
            return None
        return self._chosen(layer, raw, errors[0], unsteady)

    def _pushed(self, weight: Floats, bias: Floats, n_known: int) -> tuple[Floats, np.ndarray]:
        """Raw and bounded forms (D, 3 + k) of rows over u, v and the old activations."""
        width = 3 + len(self._ground.largest)
        old = weight[:, 2:]
        folded = np.flatnonzero(self._folded[:n_known])
        kept = np.flatnonzero(self._kept[:n_known] >= 0)
        raw = old[:, folded] @ self._raw[folded, :width]
        raw[:, 3 + self._kept[kept]] += old[:, kept]
        bounded = old.astype(self._bounded.dtype) @ self._bounded[:n_known, :width]
        for form in (raw, bounded):
            form[:, :2] += weight[:, :2]
            form[:, 2] += bias
        return raw, bounded

    def _rounding(
        self, layer: ReducedLayer, raw: Floats, bounded: np.ndarray, n_known: int
    ) -> tuple[Floats, Floats]:
        """Errors and sums of magnitudes (2, D) of the forms that `_pushed` made."""
        old = np.abs(layer.weight[:, 2:])
        extent = np.abs(self._ground.corners).max(axis=0)
        sizes = self._magnitudes[:, :n_known] @ old.T
        sizes += np.abs(layer.weight[:, :2]) @ extent + np.abs(layer.bias)
        errors = self._errors[:, :n_known] @ old.T + layer.bias_errors
        folded = layer.weight[:, 2:][:, self._folded[:n_known]]
        exact, rounded = 2 * self._roundoffs.ravel()
        errors[0] += exact * (folded.shape[1] + 5) * sizes[0] * folded.any(axis=1)
        errors[1] += rounded * (n_known + 5) * sizes[1]
        return errors, sizes

    def _activate(
        self,
        own: np.ndarray,
        raw: Floats,
        bounded: np.ndarray,
        reach: Reach,
        errors: Floats,
        sizes: Floats,
    ) -> None:
        """Set the forms of the activations."""
        steady, width = reach.steady, raw.shape[1]
        slopes = reach.slopes[:, None]
        self._bounded[own, :width] = slopes * bounded
        self._bounded[own, 2] += reach.offsets
        self._bounded[own[~steady], 3 + self._kept[own[~steady]]] = 1.0
        folded = steady & ((reach.slopes != 0) | (reach.offsets != 0))
        self._folded[own] = folded
        self._raw[own[folded], :width] = (slopes * raw)[folded]
        self._raw[own[folded], 2] += reach.offsets[folded]
        magnitudes = np.abs(reach.slopes) * sizes + np.abs(reach.offsets)
        magnitudes[0, ~steady] = reach.largest[~steady]
        magnitudes[1, ~steady] += reach.halves[~steady]
        self._magnitudes[:, own] = magnitudes
        errors = np.abs(reach.slopes) * errors + 4 * self._roundoffs * magnitudes
        errors[0, ~steady] = 0.0
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
        def rows(table: Floats) -> Floats:
            return table if len(table) == 1 else table[unsteady]

        is_kept = np.zeros(layer.n_units, bool)
        is_kept[unsteady] = True
        return replace(
            layer,
            weight=np.delete(raw[unsteady], 2, axis=1),
            bias=raw[unsteady, 2],
            breakpoints=rows(layer.breakpoints),
            slopes=rows(layer.slopes),
            anchors=rows(layer.anchors),
            bias_errors=errors[unsteady],
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
