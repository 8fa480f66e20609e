"""Whether a partition is by the network that it carries, as far as float64 can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from splinecam._kernels.arrays import Bounds
from splinecam._kernels.hashing import hash_regions
from splinecam._kernels.traversal import find_misfit
from splinecam.common.types import Floats
from splinecam.cutting.flips import find_flips
from splinecam.errors import InvalidModelError, InvariantError
from splinecam.network.bounds import network_bounds, vertex_error
from splinecam.network.narrowing import narrow
from splinecam.network.planar import PlanarNetwork
from splinecam.network.reduced import ReducedLayer, ReducedNetwork
from splinecam.network.reduction import reduced_bounds
from splinecam.network.tournaments import Tournament

if TYPE_CHECKING:
    from splinecam.partition.partition import Partition

ENTRIES = 2**24
"""Signs of hinges in regions that are looked at; where there are more, some regions are chosen."""

BATCH = 2**18
"""Signs that are computed at a time."""


def check_consistency(partition: Partition) -> None:
    """Raise `InvariantError` unless labels, patterns and the network fit each other.

    Checked are, for a partition that is a sound subdivision: that the changes across edges add up
    to nothing around every vertex; that each breakpoint lies between the two pieces of its unit
    that the patterns have beside it; that units which are steady on the slice change nowhere; and
    that patterns are those of the network's pre-activations
    at inner points, where these are further from their breakpoints than errors reach.

    Raises
    ------
    InvariantError
    InvalidModelError
        If the weights are too large for bounds of errors.
    """
    _check_changes(partition)
    _check_pieces(partition)
    if isinstance(partition.network, ReducedNetwork):
        _check_steady_units(partition, partition.network)
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
    steps = keys[flips.units] * (flips.steps if len(flips.steps) else 1)
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
    units = p.network.units
    if (p.root_pattern > np.repeat(np.array(units.highest, np.int64), units.sizes)).any():
        raise InvariantError("root_pattern has pieces that its units do not have")
    floors = np.append(units.hinge_floors, [[-1, -1]], axis=0)
    flips = find_flips(units, 0, p.edge_hinges, (p.shared_edges, p.shared_hinges))
    edge = find_misfit(
        *(p.edge_regions[0, 0], p.root_pattern.copy(), p.region_offsets, p.region_halfedges),
        *(p.edge_regions, flips, floors[p.edge_hinges], floors[p.shared_hinges >> 1]),
    )
    if edge >= 0:
        raise InvariantError(f"the patterns beside edge {edge} are not those of its breakpoint")


def _check_steady_units(p: Partition, network: ReducedNetwork) -> None:
    """Units that are steady must be on their pieces, and make no edges."""
    steady = ~network.is_unsteady
    first_units = np.array(network.units.first_units[:-1], np.int64)
    flat = first_units[network.units.hinge_layers] + network.units.hinge_units
    hinges = np.concatenate([p.edge_hinges[p.edge_hinges >= 0], p.shared_hinges >> 1])
    if (p.root_pattern != network.rest)[steady].any() or steady[flat[hinges]].any():
        raise InvariantError("units change that are steady on the slice by the network")


def _check_signs(p: Partition) -> None:
    """Patterns must be the network's at inner points."""
    network, bounds = _bounded_network(p)
    n_hinges = max(network.units.n_units, sum(layer.n_hinges for layer in network.layers))
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
    step = max(1, BATCH // max(1, n_hinges))
    for batch in (slice(start, start + step) for start in range(0, count, step)):
        values = list(network.hinge_values(points[batch]))
        errors = [np.outer(distances[batch], bound.reach) + bound.noise for bound in bounds]
        wrong = _first_wrong(network, patterns[batch], values, errors)
        if wrong is not None:
            region, unit, name = wrong
            raise InvariantError(
                f"the pattern of region {regions[batch][region]} is not the network's: unit "
                f"{unit} of layer {name}"
            )


def _bounded_network(p: Partition) -> tuple[PlanarNetwork | ReducedNetwork, list[Bounds]]:
    """The network, and bounds of its hinges' errors."""
    if isinstance(p.network, PlanarNetwork):
        return p.network, network_bounds(p.network, p.slice.polygon)
    with np.errstate(over="ignore", invalid="ignore"):
        network, ground = narrow(p.network, p.slice.polygon)
        bounds = reduced_bounds(network, ground)
    if not all(np.isfinite(bound.reach.sum() + bound.noise.sum()) for bound in bounds):
        raise InvalidModelError(
            "the weights are so large that pre-activations on the slice may overflow float64"
        )
    return network, bounds


def _first_wrong(
    network: PlanarNetwork | ReducedNetwork,
    patterns: np.ndarray,
    values: list[Floats],
    errors: list[Floats],
) -> tuple[int, int, str] | None:
    """A row of patterns (k, n_units), a unit and its layer that all hinges' values contradict."""
    first_units = network.units.first_units
    played: dict[int, list[int]] = {}
    for number, layer in enumerate(network.layers):
        step, own = number, np.arange(layer.n_units)
        if isinstance(layer, ReducedLayer):
            step, own = layer.step, layer.units
            if layer.round is not None:
                played.setdefault(step, []).append(number)
                continue
        units = own[layer.hinge_units]
        ranks = np.tile(np.arange(layer.n_breakpoints), layer.n_units)
        exceeded = patterns[:, first_units[step] + units] > ranks
        signed = np.where(exceeded, -values[number], values[number])
        wrong = np.argwhere(signed > errors[number])
        if len(wrong):
            return int(wrong[0, 0]), int(units[wrong[0, 1]]), layer.name
    if isinstance(network, ReducedNetwork):
        for step, tournament in network.tournaments.items():
            parts = played.get(step, [])
            found, margins = (
                np.concatenate([np.empty((len(patterns), 0)), *(all_[n] for n in parts)], axis=1)
                for all_ in (values, errors)
            )
            places = patterns[:, first_units[step] : first_units[step + 1]]
            wrong = _wrong_places(tournament, places, found, margins)
            if len(wrong):
                return int(wrong[0, 0]), int(wrong[0, 1]), network.units.names[step]
    return None


def _wrong_places(
    tournament: Tournament, places: np.ndarray, values: Floats, errors: Floats
) -> np.ndarray:
    """Rows and windows whose winners' places (k, groups) are not those of the nodes' values."""
    rows = np.arange(len(places))[:, None]
    codes = np.broadcast_to(tournament.roots, places.shape)
    is_sure = np.ones(places.shape, bool)
    while (codes >= 0).any():
        nodes = np.maximum(codes, 0)
        is_open = codes >= 0
        is_sure &= (np.abs(values[rows, nodes]) > errors[rows, nodes]) | ~is_open
        won = (values[rows, nodes] > 0).astype(np.intp)
        codes = np.where(is_open, tournament.children[nodes, won], codes)
    return np.argwhere(is_sure & (tournament.places(-1 - codes) != places))
