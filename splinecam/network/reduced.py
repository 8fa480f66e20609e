"""A network reduced to the units that matter on a part of the slice.

Where most units stay on one side of their breakpoints, each pre-activation is an affine function
of the two plane coordinates and of the activations of the few *unsteady* units before it, whatever
graph of convolutions and branches it came from. `splinecam.network.reduction` makes these networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from splinecam.common.types import Floats, Ints
from splinecam.network.planar import Layer, check_array, plane_values
from splinecam.network.tournaments import Round, Tournament
from splinecam.network.units import Units


@dataclass(frozen=True, eq=False)
class ReducedLayer(Layer):
    """Unsteady units of one step; the columns of `weight` are u, v and all activations before.

    Parameters
    ----------
    step : int
        The piecewise-linear step.
    units : ndarray
        (D,) int64: which units of the step; for a round of a tournament which of its nodes.
    round : Round or None
        What the nodes decide, if the step is a max group.
    """

    step: int
    units: NDArray[np.int64]
    round: Round | None = None


@dataclass(frozen=True, eq=False)
class ReducedNetwork:
    """Unsteady units, layer by layer, each reading the plane and all activations before.

    Parameters
    ----------
    units : Units
        All units of the network.
    layers : tuple of ReducedLayer
    weight : ndarray
        (out, 2 + K) float64: the flattened output from u, v and the K activations.
    bias : ndarray
        (out,) float64.
    rest : ndarray
        (n_units,) unsigned: the pattern of the steady units; for a unit that is not, any.
    tournaments : dict
        The tournament of each step that is a max group.
    """

    units: Units
    layers: tuple[ReducedLayer, ...]
    weight: Floats
    bias: Floats
    rest: NDArray[np.unsignedinteger]
    tournaments: dict[int, Tournament]

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return len(self.bias)

    @cached_property
    def n_activations(self) -> int:
        """Number of unsteady units, nodes of tournaments included."""
        return sum(layer.n_units for layer in self.layers)

    def with_outputs(self, weight: Floats, bias: Floats) -> ReducedNetwork:
        """Replace the outputs by ``weight @ output + bias``."""
        return replace(self, weight=weight @ self.weight, bias=weight @ self.bias + bias)

    def head(self, n_layers: int) -> ReducedNetwork:
        """The first layers only; the outputs are the pre-activations of the next one, if any."""
        if n_layers == len(self.layers):
            return self
        following = self.layers[n_layers]
        units = self.units.head(following.step)
        return ReducedNetwork(
            units,
            self.layers[:n_layers],
            following.weight,
            following.bias,
            self.rest[: units.n_units],
            {s: t for s, t in self.tournaments.items() if s < following.step},
        )

    def check_shapes(self) -> None:
        """Raise ValueError unless all arrays fit each other and are finite."""
        for layer, start, _ in self._ranges():
            layer.check_shapes(start)
            self._check_layer(layer)
        check_array("output weight", self.weight, (self.n_outputs, 2 + self.n_activations))
        check_array("output bias", self.bias, (self.n_outputs,))
        steps = [layer.step for layer in self.layers]
        if steps != sorted(steps):
            raise ValueError("the layers are not in the order of their steps")
        if not (
            self.rest.shape == (self.units.n_units,)
            and (self.rest <= np.repeat(self.units.highest, self.units.sizes)).all()
        ):
            raise ValueError("rest does not have a piece of each unit")
        for step, tournament in self.tournaments.items():
            self._check_tournament(step, tournament)

    def _check_layer(self, layer: ReducedLayer) -> None:
        size, highest = self.units.sizes[layer.step], self.units.highest[layer.step]
        shown = layer.round
        if shown is None:
            parts = [(layer.units, size, layer.n_units)]
            fits = layer.n_breakpoints == highest and bool((np.diff(layer.units) > 0).all())
        else:
            n = len(shown.nodes)
            parts = [(layer.units, 2**31, layer.n_units), (shown.nodes, layer.n_units, n)]
            parts += [(shown.groups, size, n), (shown.splits, 2**31, n)]
            parts += [(shown.stops, 2**31, n)]
            fits = layer.n_breakpoints == 1
        if not fits or not all(_is_below(limit, array, n) for array, limit, n in parts):
            raise ValueError(f"{layer.name}: units do not fit the step")

    def _check_tournament(self, step: int, tournament: Tournament) -> None:
        size, highest = self.units.sizes[step], self.units.highest[step]
        n_nodes = sum(layer.n_units for layer in self.layers if layer.step == step)
        fits = (
            tournament.members.shape == (size, highest + 1)
            and tournament.children.shape == (n_nodes, 2)
            and tournament.roots.shape == (size,)
            # Candidates come before the nodes that compare them.
            and bool((tournament.children < np.arange(n_nodes)[:, None]).all())
            and bool((tournament.roots < n_nodes).all())
        )
        if not fits:
            raise ValueError(f"{self.units.names[step]}: the tournament does not fit the step")

    def start(self, uv: Floats) -> Floats:
        """What u and v make of all layers' hinges (n, H) at plane coordinates (n, 2)."""
        maps = [layer.hinge_map for layer in self.layers]
        weight = np.concatenate([weight[:, :2] for weight, _ in maps])
        return plane_values(weight, np.concatenate([bias for _, bias in maps]), uv)

    def onward(self, number: int) -> tuple[Floats, Floats]:
        """Weight (H', D) from a layer's activations to all later layers' hinges; no bias."""
        ranges = list(self._ranges())
        _, start, stop = ranges[number]
        later = [layer.hinge_map[0][:, start:stop] for layer, _, _ in ranges[number + 1 :]]
        weight = np.concatenate([np.empty((0, stop - start)), *later])
        return weight, np.zeros(len(weight))

    def __call__(self, uv: Floats) -> Floats:
        """Outputs (n, out) at plane coordinates (n, 2)."""
        known = np.empty((len(uv), 2 + self.n_activations))
        known[:, :2] = uv
        for layer, start, stop in self._ranges():
            weight, bias = layer.hinge_map
            known[:, start:stop] = layer.activate(known[:, :start] @ weight.T + bias)
        return known @ self.weight.T + self.bias

    def hinge_values(self, uv: Floats) -> Iterator[Floats]:
        """Each layer's hinges (n, H) at plane coordinates (n, 2)."""
        known = np.empty((len(uv), 2 + self.n_activations))
        known[:, :2] = uv
        for layer, start, stop in self._ranges():
            weight, bias = layer.hinge_map
            hinges = known[:, :start] @ weight.T + bias
            yield hinges
            known[:, start:stop] = layer.activate(hinges)

    @cached_property
    def is_unsteady(self) -> NDArray[np.bool_]:
        """(n_units,) bool: which units have more than one pattern, for all that is known."""
        unsteady = np.zeros(self.units.n_units, bool)
        for layer in self.layers:
            if layer.round is None:
                unsteady[self._own(layer)] = True
        for step, tournament in self.tournaments.items():
            first, stop = self.units.first_units[step : step + 2]
            unsteady[first:stop] = tournament.roots >= 0
        return unsteady

    @property
    def n_bytes(self) -> int:
        """Size of the matrices."""
        return self.weight.nbytes + sum(layer.weight.nbytes for layer in self.layers)

    @cached_property
    def read_units(self) -> NDArray[np.int64]:
        """Those units, ascending, on whose patterns affine maps depend."""
        parts = [self._own(layer) for layer in self.layers]
        return np.unique(np.concatenate([np.zeros(0, np.int64), *parts]))

    def affine_maps(self, patterns: NDArray[np.unsignedinteger]) -> tuple[Floats, Floats]:
        """The maps ``A u + b`` that hold where the units have given patterns (k, n_units).

        Returns A (k, out, 2) and b (k, out), float64.
        """
        columns = self.activation_maps(patterns[:, self.read_units])
        outputs = np.tensordot(self.weight, columns, axes=1)
        outputs[:, 2] += self.bias[:, None]
        return np.ascontiguousarray(outputs[:, :2].transpose(2, 0, 1)), outputs[:, 2].T.copy()

    def activation_maps(self, patterns: NDArray[np.unsignedinteger]) -> Floats:
        """Maps to u, v and all activations where `read_units` have given patterns (k, n).

        Returns (2 + K, 3, k) float64: for each value the derivatives along u and v, and the value
        at the origin.
        """
        count = len(patterns)
        columns = np.zeros((2 + self.n_activations, 3, count))
        columns[0, 0] = columns[1, 1] = 1.0
        for layer, start, stop in self._ranges():
            own = np.searchsorted(self.read_units, self._own(layer))
            if layer.round is None:
                pieces = patterns[:, own]
            else:
                pieces = replace(layer.round, groups=own).wins(patterns, layer.n_units)
            slopes, offsets = layer.pieces(pieces)
            values = layer.weight @ columns[:start].reshape(start, 3 * count)
            values = values.reshape(layer.n_units, 3, count)
            values[:, 2] += layer.bias[:, None]
            np.multiply(values, slopes.T[:, None], out=columns[start:stop])
            columns[start:stop, 2] += offsets.T
        return columns

    def unit_gradients(
        self, units: NDArray[np.int64], columns: Floats, places: NDArray[np.integer]
    ) -> Floats:
        """Gradients (n, 2) of units (n,), no max groups, by maps that `activation_maps` made.

        The units are counted through the network; `places` says on which map each is.
        """
        gradients = np.empty((len(units), 2))
        for layer, start, _ in self._ranges():
            if layer.round is None:
                own = self._own(layer)
                rows = np.minimum(np.searchsorted(own, units), len(own) - 1)
                chosen = np.flatnonzero(own[rows] == units)
                maps = columns[:start, :2, places[chosen]]
                gradients[chosen] = np.einsum("ns,sdn->nd", layer.weight[rows[chosen]], maps)
        return gradients

    def _own(self, layer: ReducedLayer) -> NDArray[np.int64]:
        """The units on whose patterns a layer's activations depend, by entries of its tables."""
        first = self.units.first_units[layer.step]
        return first + (layer.units if layer.round is None else layer.round.groups)

    def _ranges(self) -> Iterator[tuple[ReducedLayer, int, int]]:
        """The layers, with the columns of their activations."""
        start = 2
        for layer in self.layers:
            yield layer, start, start + layer.n_units
            start += layer.n_units


def _is_below(limit: int, array: Ints, count: int) -> bool:
    """Whether an array has the shape (count,) and entries from 0 to below a limit."""
    return array.shape == (count,) and bool(((array >= 0) & (array < limit)).all())
