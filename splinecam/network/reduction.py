"""Reducing a network to the units that are not steady on a convex polygon of the slice.

Every value of the network is kept in two forms, each affine in u, v and one column per unsteady
unit (a unit that may be on either side of a breakpoint):

- *raw*: the columns stand for the units' activations. With u, v and the activations it is exact;
  its rows are the layers of the `ReducedNetwork`.
- *bounded*: a unit's activation is replaced by a line through its extreme values plus a residue,
  ``f(z) = slope z + centre + r`` with ``|r| <= half`` where z is in its range, and the columns
  stand for the residues. As they are small and independent of each other, this form, a zonotope,
  bounds every value (Singh et al., "Fast and effective robustness certification", NeurIPS 2018).

Nothing rests on the bounds being tight: a unit that is held for unsteady without need costs time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from splinecam._kernels.arrays import Bounds
from splinecam.common.types import Floats
from splinecam.errors import InvalidModelError
from splinecam.network.bounds import OPERATIONS, SAFETY, UNIT_ROUNDOFF
from splinecam.network.planar import Layer
from splinecam.network.reduced import ReducedNetwork


class Reach(NamedTuple):
    """What units do where their pre-activations are in a range, each (N,)."""

    steady: np.ndarray  # bool: between two neighbouring breakpoints all the time
    pieces: np.ndarray  # uint8: how many breakpoints a steady unit exceeds
    slopes: Floats  # of a steady unit's piece, or of the line that stands for the unit
    offsets: Floats
    halves: Floats  # of the residues
    largest: Floats  # absolute value of the activation

    def take(self, units: np.ndarray) -> Reach:
        """Some of the units."""
        return Reach(*(array[units] for array in self))


class Ground(NamedTuple):
    """The polygon, and how large the unsteady units' activations and residues get on it."""

    corners: Floats  # (n, 2)
    largest: Floats  # (k,)
    halves: Floats  # (k,)

    def add(self, largest: Floats, halves: Floats) -> Ground:
        """The same ground with more unsteady units."""
        return Ground(
            self.corners,
            np.concatenate([self.largest, largest]),
            np.concatenate([self.halves, halves]),
        )

    def magnitudes(self, raw: Floats) -> Floats:
        """Bounds (N,) of the sums of the terms' absolute values of raw forms (N, 3 + k)."""
        sizes = np.concatenate([np.abs(self.corners).max(axis=0), [1.0], self.largest])
        return np.abs(raw) @ sizes[: raw.shape[1]]

    def ranges(self, bounded: np.ndarray, errors: Floats) -> tuple[Floats, Floats]:
        """Bounds (N,) below and above of bounded forms (N, 3 + k) that have errors (N,)."""
        planar = bounded[:, :2] @ self.corners.T
        spread = np.abs(bounded[:, 3:]) @ self.halves[: bounded.shape[1] - 3]
        # The forms' own rounding is in `errors`; this covers the sums made here.
        slack = errors + 64 * UNIT_ROUNDOFF * (np.abs(planar).max(axis=1) + spread)
        slack += 64 * UNIT_ROUNDOFF * np.abs(bounded[:, 2])
        lowest = planar.min(axis=1) + bounded[:, 2] - spread - slack
        highest = planar.max(axis=1) + bounded[:, 2] + spread + slack
        return lowest, highest


def judge(layer: Layer, lowest: Floats, highest: Floats) -> Reach:
    """What the units of a layer do where their pre-activations are in given ranges (N,)."""
    below = (lowest[:, None] > layer.breakpoints).sum(axis=1)
    above = (highest[:, None] > layer.breakpoints).sum(axis=1)
    steady = (below == above) & (lowest <= highest)  # nothing is known of a range that is NaN
    pieces = below.astype(np.uint8)
    slopes, offsets = (table[0] for table in layer.pieces(pieces[None]))
    # The extremes of f(z) - slope z are at the ends of the range or at breakpoints.
    places = np.column_stack(
        [lowest, highest, np.clip(layer.breakpoints, lowest[:, None], highest[:, None])]
    )
    heights = _function_values(layer, places)
    width = np.where(steady, 1.0, highest - lowest)
    chords = (heights[:, 1] - heights[:, 0]) / width
    residues = heights - chords[:, None] * places
    low, high = residues.min(axis=1), residues.max(axis=1)
    halves = np.where(steady, 0.0, (high - low) / 2 * (1 + 1e-9))
    halves += np.where(steady, 0.0, 64 * UNIT_ROUNDOFF * np.abs(heights).max(axis=1))
    return Reach(
        steady,
        pieces,
        np.where(steady, slopes, chords),
        np.where(steady, offsets, (low + high) / 2),
        halves,
        np.abs(heights).max(axis=1) * (1 + 1e-9),
    )


def _function_values(layer: Layer, places: Floats) -> Floats:
    """The units' functions (N, p) at places (N, p)."""
    kinks = np.diff(layer.slopes, axis=1)
    values = layer.anchors[:, None] + layer.slopes[:, :1] * (places - layer.breakpoints[:, :1])
    for j in range(layer.n_breakpoints):
        values += kinks[:, j : j + 1] * np.maximum(places - layer.breakpoints[:, j : j + 1], 0.0)
    return values


def reduced_bounds(network: ReducedNetwork, ground: Ground) -> list[Bounds]:
    """Bounds of each layer's hinges on the polygon that a network was reduced on.

    An activation is as far from the true one as its pre-activation times the steepest slope of the
    unit; errors of all activations that a row reads add up.
    """
    bounds = []
    extent = np.abs(ground.corners).max(axis=0)
    reach, noise = np.zeros(len(ground.largest)), np.zeros(len(ground.largest))
    start = 0
    for layer in network.layers:
        stop = start + layer.n_units
        weight = np.abs(layer.weight)
        plane, old = weight[:, :2], weight[:, 2:]
        sizes = plane @ extent + np.abs(layer.bias) + old @ ground.largest[:start]
        rounding = UNIT_ROUNDOFF * OPERATIONS * (old.shape[1] + 8)
        unit_noise = old @ noise[:start] + layer.bias_errors + rounding * sizes
        unit_reach = np.hypot(plane[:, 0], plane[:, 1]) + old @ reach[:start]
        hinge_noise = unit_noise[:, None] + rounding * np.abs(layer.breakpoints)
        hinge_reach = np.repeat(unit_reach, layer.n_breakpoints)
        bounds.append(Bounds(hinge_reach * SAFETY, hinge_noise.ravel() * SAFETY))
        if not np.isfinite(unit_reach.sum() + hinge_noise.sum()):
            raise InvalidModelError(
                "the weights are so large that pre-activations on the slice may overflow float64"
            )
        steepest = np.abs(layer.slopes).max(axis=1)
        reach[start:stop] = unit_reach * steepest * SAFETY
        noise[start:stop] = unit_noise * steepest * SAFETY
        start = stop
    return bounds
