"""Colours of activation patterns, found without writing the patterns down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgba_array
from numpy.typing import NDArray

from splinecam._kernels.hashing import hash_regions
from splinecam.partition.partition import Partition
from splinecam.plotting._style import LIGHT


def pattern_colours(
    p: Partition, *, palette: Sequence[str] = LIGHT.regions, n_layers: int | None = None
) -> NDArray[np.float64]:
    """Colours (R, 4) of the regions' activation patterns.

    With K colours, a unit that exceeds one breakpoint more moves the colour on by 1 to K - 1
    places in the palette, a fixed pseudo-random number for each unit of each layer. So a pattern
    has the same colour in all pictures, and regions that differ in one unit never share one. Where
    regions that differ in several units do, one of them gets the next colour that is free.

    Parameters
    ----------
    p : Partition
    palette : sequence of str
        K colours.
    n_layers : int, optional
        Look at the patterns of the first so many layers only. Default: all.
    """
    steps = _unit_steps(p.layer_sizes, len(palette))
    first_units = np.cumsum([0, *p.layer_sizes])
    if n_layers is not None:
        steps[first_units[n_layers] :] = 0
    flips = p.edge_flips
    units = first_units[flips.layers] + flips.units
    edge_steps = np.zeros(p.n_edges, np.int64)
    np.add.at(edge_steps, flips.edges, flips.steps * steps[units])
    hashes = np.empty(p.n_regions, np.int64)
    hash_regions(
        *(p.edge_regions[0, 0], p.root_pattern.astype(np.int64) @ steps),
        *(p.region_offsets, p.region_halfedges, p.edge_regions, edge_steps, hashes),
    )
    places = hashes % len(palette)
    if n_layers is None:
        _part_neighbours(p, places, len(palette))
    return to_rgba_array(palette)[places]


def _part_neighbours(p: Partition, places: NDArray[np.int64], n_colours: int) -> None:
    """Change the colours, in place, of regions that have the same one as a neighbour.

    Only edges of several units have such regions beside them. A region whose neighbours have all
    colours keeps its own; then the one on the edge's other side changes, if it can.
    """
    left, right = p.edge_regions.T
    alike = np.flatnonzero((right >= 0) & (places[left] == places[right]))
    for edge in alike.tolist():
        for region in p.edge_regions[edge].tolist():
            start, stop = p.region_offsets[region : region + 2]
            halfedges = p.region_halfedges[start:stop]
            beyond = p.edge_regions[halfedges >> 1, 1 - (halfedges & 1)]
            taken = set(places[beyond[beyond >= 0]].tolist())
            if places[region] not in taken:
                break
            following = (places[region] + np.arange(1, n_colours)) % n_colours
            free = [place for place in following.tolist() if place not in taken]
            if free:
                places[region] = free[0]
                break


def _unit_steps(layer_sizes: Sequence[int], n_colours: int) -> NDArray[np.int64]:
    """For each unit, how far it moves the colour on: 1 to K - 1, int64."""
    keys = [
        np.arange(size, dtype=np.uint64) + (np.uint64(layer) << np.uint64(32))
        for layer, size in enumerate(layer_sizes, start=1)
    ]
    mixed = _mix(np.concatenate([*keys, np.empty(0, np.uint64)]))
    return 1 + (mixed % np.uint64(n_colours - 1)).astype(np.int64)


def _mix(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter 64-bit keys: the finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        keys = (keys ^ (keys >> np.uint64(shift))) * np.uint64(factor)
    return keys ^ (keys >> np.uint64(31))
