"""The network on a slice: a chain of dense layers that starts at plane coordinates.

Arrays only, so that a `Partition` can carry, save and evaluate it without the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from splinecam.common.types import Floats
from splinecam.network.units import Units


@dataclass(frozen=True, eq=False)
class Layer:
    """An affine map followed by one continuous piecewise-linear function for each unit.

    A unit with ``m`` breakpoints has ``m`` *hinges*, numbered unit by unit: the affine functions
    ``z - t_j``, whose signs tell between which breakpoints the unit is. Tables that are the same
    for all units may have one row instead of D.

    Parameters
    ----------
    name : str
        The step's name in the model.
    weight : ndarray
        (D, K) float64, of the affine map from the previous layer's activations (or from the plane).
    bias : ndarray
        (D,) float64.
    breakpoints : ndarray
        (D or 1, m) float64, ascending.
    slopes : ndarray
        (D or 1, m + 1) float64: below, between and above the breakpoints.
    anchors : ndarray
        (D or 1,) float64: the functions' values at their first breakpoints.
    weight_errors : ndarray
        (D or 1,) float64: rounding of each row of `weight`, in the Euclidean norm, at most.
    bias_errors : ndarray
        (D or 1,) float64: rounding of `bias` at most.
    """

    name: str
    weight: Floats
    bias: Floats
    breakpoints: Floats
    slopes: Floats
    anchors: Floats
    weight_errors: Floats
    bias_errors: Floats

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.bias)

    @property
    def n_breakpoints(self) -> int:
        """Number of breakpoints of each unit."""
        return self.breakpoints.shape[1]

    @property
    def n_hinges(self) -> int:
        """Number of hinges."""
        return self.n_units * self.n_breakpoints

    @property
    def hinge_units(self) -> NDArray[np.intp]:
        """The unit of each hinge, (H,)."""
        return np.repeat(np.arange(self.n_units), self.n_breakpoints)

    @cached_property
    def hinge_map(self) -> tuple[Floats, Floats]:
        """Weight (H, K) and bias (H,) of the hinges as functions of the layer's input."""
        weight = self.weight if self.n_breakpoints == 1 else self.weight[self.hinge_units]
        return weight, (self.bias[:, None] - self.breakpoints).ravel()

    def activate(self, hinges: Floats) -> Floats:
        """Activations (n, D) from the values of the hinges (n, H)."""
        if self._is_relu:
            return np.maximum(hinges, 0.0)
        n = self.n_breakpoints
        kinks = np.diff(self.slopes, axis=1)
        values = self.anchors + self.slopes[:, 0] * hinges[:, ::n]
        for j in range(n):
            values += kinks[:, j] * np.maximum(hinges[:, j::n], 0.0)
        return values

    def kink_columns(self, weight: Floats) -> Floats:
        """What each hinge adds to the slope of ``weight @ activations`` where it is positive.

        For `weight` (D', D) the result is (H, D').
        """
        if self._is_relu:
            return np.ascontiguousarray(weight.T)
        kinks = np.broadcast_to(np.diff(self.slopes, axis=1), (self.n_units, self.n_breakpoints))
        return kinks.reshape(-1, 1) * weight.T[self.hinge_units]

    def count_exceeded(self, positive: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Pattern (D,) from which hinges (H,) are positive."""
        return positive.reshape(self.n_units, self.n_breakpoints).sum(axis=1, dtype=np.uint8)

    def pieces(self, patterns: NDArray[np.unsignedinteger]) -> tuple[Floats, Floats]:
        """Slope and offset (k, D) of each unit's function where its pattern (k, D) holds."""
        # Going from piece to piece, the offset makes up for the change of slope at the breakpoint.
        steps = -np.diff(self.slopes, axis=1) * self.breakpoints
        first = self.anchors - self.slopes[:, 0] * self.breakpoints[:, 0]
        offsets = np.cumsum(np.column_stack([first, steps]), axis=1)
        if len(offsets) == 1:
            return self.slopes[0].take(patterns), offsets[0].take(patterns)
        units = np.arange(self.n_units)
        return self.slopes[units, patterns], offsets[units, patterns]

    def activate_maps(self, columns: Floats, patterns: NDArray[np.unsignedinteger]) -> Floats:
        """Maps to activations, (k, 3, D), from maps to pre-activations and patterns (k, D).

        The columns are the derivatives along u and v, and the values at the origin.
        """
        slopes, offsets = self.pieces(patterns)
        activated = columns * slopes[:, None, :]
        activated[:, 2] += offsets
        return activated

    def check_shapes(self, width: int) -> None:
        """Raise ValueError unless the arrays fit each other and an input of a width, are finite."""
        n_units = self.weight.shape[0]
        rows = len(self.anchors) if len(self.anchors) == 1 else n_units
        n_breakpoints = self.n_breakpoints
        check_array(f"{self.name}: weight", self.weight, (n_units, width))
        check_array(f"{self.name}: bias", self.bias, (n_units,))
        check_array(f"{self.name}: breakpoints", self.breakpoints, (rows, n_breakpoints))
        check_array(f"{self.name}: slopes", self.slopes, (rows, n_breakpoints + 1))
        check_array(f"{self.name}: anchors", self.anchors, (rows,))
        for name in ("weight_errors", "bias_errors"):
            errors = getattr(self, name)
            one_or_all = (1,) if len(errors) == 1 else (n_units,)
            check_array(f"{self.name}: {name}", errors, one_or_all)

    @cached_property
    def _is_relu(self) -> bool:
        tables = (self.breakpoints, self.slopes, self.anchors)
        return [table.tolist() for table in tables] == [[[0.0]], [[0.0, 1.0]], [0.0]]


@dataclass(frozen=True, eq=False)
class PlanarNetwork:
    """A network restricted to a slice.

    Parameters
    ----------
    layers : tuple of Layer
        The first one's weight is (D, 2): it acts on plane coordinates.
    weight : ndarray
        (out, K) float64: from the last layer's activations to the flattened output.
    bias : ndarray
        (out,) float64.
    """

    layers: tuple[Layer, ...]
    weight: Floats
    bias: Floats

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return len(self.bias)

    @cached_property
    def units(self) -> Units:
        """The units of all layers."""
        layers = self.layers
        return Units(
            tuple(layer.name for layer in layers),
            tuple(layer.n_units for layer in layers),
            tuple(layer.n_breakpoints for layer in layers),
            (False,) * len(layers),
        )

    def with_outputs(self, weight: Floats, bias: Floats) -> PlanarNetwork:
        """Replace the outputs by ``weight @ output + bias``."""
        return PlanarNetwork(self.layers, weight @ self.weight, weight @ self.bias + bias)

    @property
    def rest(self) -> NDArray[np.uint8]:
        """(n_units,) uint8: the pattern where no unit exceeds a breakpoint."""
        return np.zeros(self.units.n_units, np.uint8)

    def start(self, uv: Floats) -> Floats:
        """Hinges (n, H) of the first layer at plane coordinates (n, 2)."""
        return plane_values(*self.layers[0].hinge_map, uv)

    def onward(self, number: int) -> tuple[Floats, Floats]:
        """Weight (H', D) and bias (H',) from a layer's activations to the next layer's hinges."""
        if number + 1 == len(self.layers):
            return np.empty((0, self.layers[number].n_units)), np.empty(0)
        return self.layers[number + 1].hinge_map

    def check_shapes(self) -> None:
        """Raise ValueError unless the layers' arrays fit each other and are finite."""
        width = 2
        for layer in self.layers:
            layer.check_shapes(width)
            width = layer.n_units
        check_array("output weight", self.weight, (len(self.bias), width))
        check_array("output bias", self.bias, (len(self.bias),))

    def head(self, n_layers: int) -> PlanarNetwork:
        """The first layers only; the output is the pre-activations of the next one, if any."""
        if n_layers == len(self.layers):
            return self
        following = self.layers[n_layers]
        return PlanarNetwork(self.layers[:n_layers], following.weight, following.bias)

    def preactivation_maps(
        self, layer: int, patterns: NDArray[np.unsignedinteger]
    ) -> tuple[Floats, Floats]:
        """The maps ``A u + b`` of what a layer's units act on: as `affine_maps`, (k, D, 2)."""
        n_before = self.units.first_units[layer]
        return self.head(layer).affine_maps(patterns[:, :n_before])

    def following(self, number: int) -> tuple[Floats, Floats]:
        """Weight and bias from a layer's activations (-1: plane coordinates) to the next values.

        These are the next layer's pre-activations or, after the last layer, the outputs.
        """
        if number + 1 == len(self.layers):
            return self.weight, self.bias
        return self.layers[number + 1].weight, self.layers[number + 1].bias

    def __call__(self, uv: Floats) -> Floats:
        """Outputs (n, out) at plane coordinates (n, 2)."""
        values = uv
        for layer in self.layers:
            weight, bias = layer.hinge_map
            values = layer.activate(values @ weight.T + bias)
        return values @ self.weight.T + self.bias

    def hinge_values(self, uv: Floats) -> Iterator[Floats]:
        """Each layer's hinges (n, H) at plane coordinates (n, 2)."""
        values = uv
        for layer in self.layers:
            weight, bias = layer.hinge_map
            hinges = values @ weight.T + bias
            yield hinges
            values = layer.activate(hinges)

    def affine_maps(self, patterns: NDArray[np.unsignedinteger]) -> tuple[Floats, Floats]:
        """The maps ``A u + b`` that hold where the units have given patterns.

        Parameters
        ----------
        patterns : ndarray
            (k, units) unsigned: how many of its breakpoints each unit exceeds.

        Returns
        -------
        A : ndarray
            (k, out, 2) float64.
        b : ndarray
            (k, out) float64.
        """
        count = len(patterns)
        columns = compose(np.broadcast_to(np.eye(3, 2), (count, 3, 2)), *self.following(-1))
        start = 0
        for number, layer in enumerate(self.layers):
            own = patterns[:, start : start + layer.n_units]
            columns = compose(layer.activate_maps(columns, own), *self.following(number))
            start += layer.n_units
        return np.ascontiguousarray(columns[:, :2].transpose(0, 2, 1)), columns[:, 2]


def plane_values(weight: Floats, bias: Floats, uv: Floats) -> Floats:
    """Values (n, H) at plane coordinates (n, 2) of functions (H, 2) and (H,).

    Each value is rounded by itself, whatever the other points are.
    """
    values = np.multiply.outer(uv[:, 0], weight[:, 0])
    values += np.multiply.outer(uv[:, 1], weight[:, 1])
    values += bias
    return values


def compose(columns: Floats, weight: Floats, bias: Floats) -> Floats:
    """Apply an affine map to maps given by columns (k, 3, K), in one matrix product.

    The columns are the derivatives along u and v, and the value at the origin.
    """
    count, _, width = columns.shape
    composed = (columns.reshape(3 * count, width) @ weight.T).reshape(count, 3, len(bias))
    composed[:, 2] += bias
    return composed


def check_array(name: str, array: Floats, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless an array has a shape and is finite."""
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"{name} has shape {array.shape} or entries that are not finite")
