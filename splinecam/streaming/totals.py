"""What tiles sum up to: exact totals of partitions that are never in memory as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from splinecam.common.types import Floats, Ints
from splinecam.measures.boundary import decision_boundary
from splinecam.network.reduced import ReducedNetwork
from splinecam.partition.partition import Partition
from splinecam.tiling.rims import Joined, Rim, take_rim
from splinecam.tiling.seams import TileMesh

POWERS = np.arange(1, 5)


class StreamTotals(NamedTuple):
    """What the tiles that are finished sum up to: exact for them, and for the slice when all are.

    Areas and lengths are those in plane coordinates.
    """

    n_tiles: int
    n_pieces: int
    """Regions of all tiles; one that lies on several tiles counts in each."""
    n_regions: int
    """Regions of the slice that lie on finished tiles only."""
    area: float
    """Of the tiles."""
    area_powers: Floats
    """(4,) float64: sums of the first four powers of the areas of those regions, from which their
    moments follow. A region that lies on several tiles counts once, with its whole area."""
    edge_lengths: Floats
    """(layers,) float64: length of the edges that each layer made."""
    class_areas: Floats
    """(classes,) float64: how much of the tiles each class has, as in `decision_boundary`."""


class Part(NamedTuple):
    """What one tile contributes; its size is that of the tile's rim."""

    n_faces: int
    n_inner: int
    """Regions that touch no other tile."""
    area: float
    area_powers: Floats
    """(4,) float64: of the inner regions."""
    edge_lengths: Floats
    """(layers,) float64: without edges along seams."""
    class_areas: Floats


def measure_tile(partition: Partition, tile: TileMesh) -> tuple[Part, Rim]:
    """Take from a tile, given by itself and as one of many, what the totals have to know."""
    rim, inner = take_rim(tile, partition.areas)
    layers = partition.edge_layers
    is_inner = layers >= 0
    n_layers = len(partition.layer_names)
    lengths = _sums(layers[is_inner], partition.edge_lengths[is_inner], n_layers)
    part = Part(
        partition.n_regions,
        len(inner),
        float(partition.areas.sum()),
        _power_sums(inner),
        lengths,
        decision_boundary(partition).class_areas,
    )
    return part, rim


def total(parts: Sequence[Part], joined: Joined, network: ReducedNetwork) -> StreamTotals:
    """Add the parts of tiles up, and what their rims make up together."""
    units, n_outputs = network.units, network.n_outputs
    n_layers, n_classes = len(units.names), max(n_outputs, 2)
    along_seams = _sums(units.hinge_layers[joined.hinges], joined.lengths, n_layers)
    return StreamTotals(
        n_tiles=len(parts),
        n_pieces=sum(part.n_faces for part in parts),
        n_regions=sum(part.n_inner for part in parts) + len(joined.areas),
        area=sum(part.area for part in parts),
        area_powers=sum((part.area_powers for part in parts), _power_sums(joined.areas)),
        edge_lengths=sum((part.edge_lengths for part in parts), along_seams),
        class_areas=sum((part.class_areas for part in parts), np.zeros(n_classes)),
    )


def _sums(numbers: Ints, values: Floats, count: int) -> Floats:
    """Sums (count,) of the values (n,) that have each number."""
    sums = np.zeros(count)
    np.add.at(sums, numbers, values)
    return sums


def _power_sums(areas: Floats) -> Floats:
    """Sums (4,) of the first powers of areas."""
    return (areas[:, None] ** POWERS).sum(axis=0)
