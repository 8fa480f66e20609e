"""Whether a partition is by the network that it carries, as far as float64 can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from splinecam._kernels.hashing import hash_regions
from splinecam._kernels.traversal import find_misfit
from splinecam.bounds import network_bounds, vertex_error
from splinecam.errors import InvariantError
from splinecam.flips import find_flips

if TYPE_CHECKING:
    from splinecam.partition import Partition

ENTRIES = 2**24
"""Signs of hinges in regions that are looked at; where there are more, some regions are chosen."""

BATCH = 2**18
"""Signs that are computed at a time."""


def check_consistency(partition: Partition) -> None:
    """Raise `InvariantError` unless labels, patterns and the network fit each other.

    Checked are, for a partition that is a sound subdivision: that the changes across edges add up
    to nothing around every vertex; that each breakpoint lies between the two pieces of its unit
    that the patterns have beside it; and that patterns are those of the network's pre-activations
    at inner points, where these are further from their breakpoints than errors reach.

    Raises
    ------
    InvariantError
    InvalidModelError
        If the weights are too large for bounds of errors.
    """
    _check_changes(partition)
    _check_pieces(partition)
    _check_signs(partition)


def inner_points(p: Partition) -> np.ndarray:
    """The mean of each region's corners, (R, 2)."""
    corners, starts = p.vertices[p.region_vertices], p.region_offsets[:-1]
    sizes = np.diff(p.region_offsets)
    first = corners[starts]
    spans = corners - np.repeat(first, sizes, axis=0)
    return first + np.add.reduceat(spans, starts) / sizes[:, None]


def _check_changes(p: Partition) -> None:
    """Patterns must not depend on the way by which a region is reached; they are hashed."""
    flips = find_flips(p.network.units, 0, p.edge_hinges, (p.shared_edges, p.shared_hinges))
    # Sums of 64-bit random numbers, modulo 2^64.
    info = np.iinfo(np.int64)
    keys = np.random.default_rng(0).integers(info.min, info.max, p.n_units + 1)
    keys[-1] = 0  # of the slice's boundary
    steps = keys[flips.units]
    np.add.at(steps, p.shared_edges, flips.shared_steps * keys[flips.shared_units])
    hashes = np.zeros(p.n_regions, np.int64)
    hash_regions(
        *(p.edge_regions[0, 0], np.int64(0), p.region_offsets, p.region_halfedges),
        *(p.edge_regions, steps, hashes),
    )
    inner = np.flatnonzero(p.edge_hinges >= 0)
    left, right = p.edge_regions[inner].T
    wrong = inner[hashes[left] != hashes[right] + steps[inner]]
    if len(wrong):
        raise InvariantError(
            f"the units that change across edge {wrong[0]} contradict those of other edges"
        )


def _check_pieces(p: Partition) -> None:
    """Breakpoints must lie between the pieces beside them."""
    highest = [np.full(layer.n_units, layer.n_breakpoints) for layer in p.network.layers]
    if (p.root_pattern > np.concatenate([np.zeros(0, np.intp), *highest])).any():
        raise InvariantError("root_pattern has pieces that its units do not have")
    ranks = np.append(p.network.hinge_ranks, -1)
    flips = find_flips(p.network.units, 0, p.edge_hinges, (p.shared_edges, p.shared_hinges))
    edge = find_misfit(
        *(p.edge_regions[0, 0], p.root_pattern.copy(), p.region_offsets, p.region_halfedges),
        *(p.edge_regions, flips, ranks[p.edge_hinges], ranks[p.shared_hinges >> 1]),
    )
    if edge >= 0:
        raise InvariantError(f"the patterns beside edge {edge} are not those of its breakpoint")


def _check_signs(p: Partition) -> None:
    """Patterns must be the network's at inner points."""
    n_hinges = p.network.units.n_hinges
    count = min(p.n_regions, max(1, ENTRIES // max(1, n_hinges)))
    regions = np.linspace(0, p.n_regions - 1, count).astype(np.intp)
    patterns = p.patterns(regions)
    # An inner point of a region that is small compared to how far the engine lets vertices be off
    # may be as far outside.
    distance = vertex_error(p.slice.polygon)
    sizes = np.diff(p.region_offsets)
    is_small = ~(p.areas > sizes * distance * p.perimeters)
    distances = np.where(is_small, distance, 0.0)[regions]
    points = inner_points(p)[regions]
    bounds = network_bounds(p.network, p.slice.polygon)
    step = max(1, BATCH // max(1, n_hinges))
    for batch in (slice(start, start + step) for start in range(0, count, step)):
        values, first_unit, ranks = points[batch], 0, p.network.hinge_ranks
        for layer, bound in zip(p.network.layers, bounds, strict=True):
            weight, bias = layer.hinge_map
            values = values @ weight.T + bias
            own, ranks = np.split(ranks, [layer.n_hinges])
            exceeded = patterns[batch, first_unit + layer.hinge_units] > own
            errors = np.outer(distances[batch], bound.reach) + bound.noise
            wrong = np.argwhere(np.where(exceeded, -values, values) > errors)
            if len(wrong):
                region, hinge = regions[batch][wrong[0, 0]], wrong[0, 1]
                raise InvariantError(
                    f"the pattern of region {region} is not the network's: unit "
                    f"{layer.hinge_units[hinge]} of layer {layer.name}"
                )
            values = layer.activate(values)
            first_unit += layer.n_units
