"""Cutting a polygon by a network that is small, in one compiled call."""

from __future__ import annotations

import numpy as np

from splinecam._kernels.arrays import Mesh
from splinecam._kernels.chain import Chain, cut_chain
from splinecam._kernels.words import BITS
from splinecam.cutting.refine import USUAL
from splinecam.network.bounds import OPERATIONS, UNIT_ROUNDOFF, coordinate_rounding, farthest
from splinecam.network.planar import Layer, PlanarNetwork

SMALL_LAYER = 2**11
"""Entries of matrices that loops multiply as quickly as calls of a library of linear algebra."""

FEW_VERTICES = 2**12
"""Vertices up to which the loops of one thread are quick enough."""


def cut_small(
    network: PlanarNetwork, polygon: np.ndarray, max_regions: int
) -> tuple[Mesh, np.ndarray] | None:
    """Cut a polygon by a small network, if float64 decides everything.

    `Subdivision` does the same for all networks, step by step, in many calls: what it does in the
    interpreter takes several times as long as the work on a few hundred regions.

    Parameters
    ----------
    network : PlanarNetwork
    polygon : ndarray
        (n, 2) float64, counter-clockwise.
    max_regions : int

    Returns
    -------
    tuple of Mesh and ndarray, or None
        The mesh, and the pattern (n_units,) uint8 of the region left of edge 0. None where the
        network is not small, float64 leaves something open, or there are more than `max_regions`;
        little time is lost then.
    """
    layers = network.layers
    if not layers or not all(map(_is_small, layers)):
        return None
    rounding = coordinate_rounding(polygon)
    done, mesh, pattern = cut_chain(
        *(polygon, _chain(layers), farthest(polygon), UNIT_ROUNDOFF * OPERATIONS),
        *(rounding, USUAL * rounding, FEW_VERTICES),
    )
    return (mesh, pattern) if done and len(mesh.face_offsets) - 1 <= max_regions else None


def _is_small(layer: Layer) -> bool:
    is_even = layer.breakpoints.size == 1 and layer.slopes.size == 2 and layer.anchors.size == 1
    return is_even and layer.n_units <= BITS and layer.weight.size <= SMALL_LAYER


def _chain(layers: tuple[Layer, ...]) -> Chain:
    arrays = [
        (layer.bias, layer.weight.ravel(), layer.weight_errors, layer.bias_errors)
        for layer in layers
    ]
    starts = np.zeros((len(layers) + 1, 4), np.int64)
    np.cumsum([[len(array) for array in own] for own in arrays], axis=0, out=starts[1:])
    tables = [(layer.breakpoints[0], layer.slopes[0], layer.anchors) for layer in layers]
    functions = np.concatenate([table for own in tables for table in own]).reshape(-1, 4)
    biases, weights, *errors = map(np.concatenate, zip(*arrays, strict=True))
    return Chain(starts, biases, weights, errors[0], errors[1], functions)
