"""Lines of hinges on single regions in float64, with bounds of their errors.

The bounds that the engine cuts with hold on the whole polygon: they take every unit for as steep
as it may get, and grow with each layer. Where a region's pattern is known, its hinges are affine
functions whose coefficients are as good as the weights. Most of what the first bounds leave open is
decided by these, at a small part of what integers take.

Let g be the function computed for a hinge on a region, and z the true one. On the region and its
boundary ``|g - z| <= error``, as z is there the sum that the network defines, and the products and
sums that make up g are bounded by their terms (Higham 2002, §3.1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from splinecam.cutting.labels import Labels
from splinecam.exact import Row
from splinecam.network.bounds import UNIT_ROUNDOFF
from splinecam.network.reduced import ReducedNetwork

SAFETY = 1 + 1e-6
"""Covers the rounding of the bounds themselves."""


class RegionLines:
    """Functions of the hinges of some layers on single regions.

    Parameters
    ----------
    network : ReducedNetwork
        Its layers up to the one that cuts must not be rounds of tournaments.
    labels : Labels
        Of the network.
    layer : int
        The layer that cuts: the last one whose hinges are asked for.
    corners : ndarray
        (n, 2) the polygon that the network was reduced on.
    sides : sequence of Row
        The lines of its sides.
    """

    def __init__(
        self,
        network: ReducedNetwork,
        labels: Labels,
        layer: int,
        corners: np.ndarray,
        sides: Sequence[Row],
    ):
        self._layers = network.layers[: layer + 1]
        self._entries = [labels.entries(number) for number in range(layer)]
        self._extent = np.append(np.abs(corners).max(axis=0), 1.0)
        counts = [own.n_hinges for own in self._layers]
        self.first_hinge = sum(counts[:-1])
        """Where the hinges of the layer that cuts begin in `functions`."""
        self._n_hinges = sum(counts)
        self._places = np.full(labels.n_labels, -1)
        self._places[np.concatenate([labels.all_of(n) for n in range(layer + 1)])] = np.arange(
            self._n_hinges
        )
        self._sides = np.array([_normalised(row) for row in sides])
        self._side_errors = 4 * UNIT_ROUNDOFF * (np.abs(self._sides) @ self._extent)

    def functions(self, patterns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Functions (n, H, 3) ``a u + b v + c`` of all hinges, and their errors (n, H).

        `patterns` (n, units) are those of regions.
        """
        n = len(patterns)
        rows, errors = np.empty((self._n_hinges, 3, n)), np.empty((self._n_hinges, n))
        known, doubts = np.zeros((2, 3, n)), np.zeros((2, 2, n))
        known[0, 0] = known[1, 1] = 1.0
        doubts[:, 0] = self._extent[:2, None]  # magnitudes and errors of what is known
        first = 0
        for number, layer in enumerate(self._layers):
            width, m = len(known), layer.n_breakpoints
            made = (layer.weight @ known.reshape(width, -1)).reshape(-1, 3, n)
            made[:, 2] += layer.bias[:, None]
            sizes, noise = np.moveaxis(
                (np.abs(layer.weight) @ doubts.reshape(width, -1)).reshape(-1, 2, n), 1, 0
            )
            sizes = sizes + np.abs(layer.bias)[:, None]
            noise = noise + layer.bias_errors[:, None]
            noise += 2 * UNIT_ROUNDOFF * (width + 8) * sizes
            last = first + layer.n_hinges
            breakpoints = np.broadcast_to(layer.breakpoints, (layer.n_units, m)).reshape(-1, 1)
            rows[first:last] = np.repeat(made, m, axis=0)
            rows[first:last, 2] -= breakpoints
            rounding = 2 * UNIT_ROUNDOFF * (np.repeat(sizes, m, axis=0) + np.abs(breakpoints))
            errors[first:last] = (np.repeat(noise, m, axis=0) + rounding) * SAFETY
            first = last
            if number < len(self._entries):
                pieces = patterns[:, self._entries[number]]
                slopes, offsets = (table.T for table in layer.pieces(pieces))
                made *= slopes[:, None]
                made[:, 2] += offsets
                sizes = np.einsum("hcn,c->hn", np.abs(made), self._extent) + np.abs(offsets)
                noise = np.abs(slopes) * noise + 4 * UNIT_ROUNDOFF * sizes
                known = np.concatenate([known, made])
                doubts = np.concatenate([doubts, np.stack([sizes, noise], axis=1)])
        return rows.transpose(2, 0, 1), errors.T

    def edge_lines(
        self, functions: tuple[np.ndarray, np.ndarray], labels: np.ndarray, places: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lines (n, 3) of edges with given labels, and their errors (n,).

        `places` (n,) say which of the `functions` are those of the region on the edge's left.
        Where a line is not known, the error is infinite.
        """
        outer = labels < 0
        hinges = np.where(outer, -1, self._places[np.maximum(labels, 0)])
        rows, errors = functions[0][places, hinges], functions[1][places, hinges]
        rows[outer] = self._sides[-1 - labels[outer]]
        errors[outer] = self._side_errors[-1 - labels[outer]]
        errors[~outer & (hinges < 0)] = np.inf
        return rows, errors


def _normalised(row: Row) -> tuple[float, float, float]:
    """A line's row with coefficients near one."""
    a, b, c = row
    scale = max(abs(a), abs(b))
    return a / scale, b / scale, c / scale


def meet(
    near: np.ndarray,
    rows: np.ndarray,
    errors: np.ndarray,
    others: np.ndarray,
    other_errors: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Where pairs of lines meet (n, 2), and how far that is from the true points (n,) at most.

    The true lines are the zero sets of functions that are, at the true point, within `errors` (n,)
    of those given by `rows` (n, 3). The points `near` (n, 2) keep the arithmetic from cancelling.
    The error is infinite where the lines may be parallel.
    """
    values, doubts = value_at(near, rows, errors)
    other_values, other_doubts = value_at(near, others, other_errors)
    (a, b), (c, d) = rows[:, :2].T, others[:, :2].T
    determinant = a * d - b * c
    slack = 4 * UNIT_ROUNDOFF * (np.abs(a * d) + np.abs(b * c))
    least = np.abs(determinant) - slack
    steps = np.stack([b * other_values - d * values, c * values - a * other_values], axis=1)
    with np.errstate(all="ignore"):
        steps /= determinant[:, None]
        lengths, other_lengths = np.hypot(a, b), np.hypot(c, d)
        doubts = doubts + 8 * UNIT_ROUNDOFF * np.abs(values)
        other_doubts = other_doubts + 8 * UNIT_ROUNDOFF * np.abs(other_values)
        moved = np.hypot(steps[:, 0], steps[:, 1])
        points = near + steps
        radii = (other_lengths * doubts + lengths * other_doubts + 4 * slack * moved) / least
        radii += 4 * UNIT_ROUNDOFF * np.abs(points).max(axis=1)
        fine = (least > 0) & np.isfinite(radii) & np.isfinite(points).all(axis=1)
    return np.where(fine[:, None], points, near), np.where(fine, radii * SAFETY, np.inf)


def value_at(
    points: np.ndarray, rows: np.ndarray, errors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,) of functions (n, 3) at points (n, 2), and their errors (n,)."""
    terms = rows * np.column_stack([points, np.ones(len(points))])
    doubts = errors + 4 * UNIT_ROUNDOFF * np.abs(terms).sum(axis=1)
    return terms.sum(axis=1), doubts * SAFETY
