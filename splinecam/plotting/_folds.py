"""The slice as a sheet that the network folds: heights and facets, layer by layer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh

from splinecam.common.types import Floats, Ints
from splinecam.partition.partition import Partition
from splinecam.plotting._values import folding_activations, output_values

RELIEF = 0.45
"""Height of the surface, as it is seen, relative to the slice's longer side."""

LIGHT = np.array([-0.44, -0.34, 0.83])
"""Direction to the light."""

SHADE, GLOW = 0.6, 0.4
"""Share of a facet's colour that it has without light, and what full light adds."""


class Facets(NamedTuple):
    """Flat pieces of the folded sheet: the regions of the partition by the first layers."""

    offsets: Ints  # (F + 1,): where each facet begins in `vertices`
    vertices: Ints  # counter-clockwise loops; some corners are on straight sides
    members: Ints  # (F,): one region of the partition in each facet


def sheet_heights(p: Partition, layer: int | None) -> Floats:
    """(V,) float64: the height of each vertex after a layer, or (None) of the output.

    One output is the height itself. Of several, and of the units of a layer that fold the slice,
    it is the first principal component: vertices count as much as a fair share of the areas of
    their regions, and the unit that weighs most does so positively.
    """
    if layer is None:
        values = output_values(p)
        return values[:, 0] if p.network.n_outputs == 1 else _principal(p, values)
    return _principal(p, folding_activations(p, layer))


def _principal(p: Partition, values: Floats) -> Floats:
    if not values.shape[1]:
        return np.zeros(len(values))
    sizes = np.diff(p.region_offsets)
    weights = np.zeros(p.n_vertices)
    np.add.at(weights, p.region_vertices, np.repeat(p.areas / sizes, sizes))
    weights /= weights.sum()
    centred = values - weights @ values
    covariance = (centred * weights[:, None]).T @ centred
    last = len(covariance) - 1
    direction = eigh(covariance, subset_by_index=[last, last])[1][:, 0]
    direction *= np.sign(direction[np.abs(direction).argmax()])
    return centred @ direction


def range_of(heights: Floats) -> tuple[float, float]:
    """The lowest and the greatest height; of a flat sheet, something on both sides of it."""
    low, high = float(heights.min()), float(heights.max())
    return (low, high) if low < high else (low - 1.0, high + 1.0)


def levels_of(heights: Floats) -> Floats:
    """Heights within their range, from 0 to 1."""
    low, high = range_of(heights)
    return (heights - low) / (high - low)


def brightness(p: Partition, levels: Floats, offsets: Ints, loops: Ints) -> Floats:
    """How brightly flat facets are lit from above, 0.6 to 1, as they are seen.

    Facet ``i`` has the vertices ``loops[offsets[i]:offsets[i + 1]]``, at levels (V,) from 0 to 1.
    """
    relief = RELIEF * np.ptp(p.slice.polygon, axis=0).max()
    corners = np.column_stack([p.vertices, relief * levels])[loops]
    corners -= np.repeat(corners[offsets[:-1]], np.diff(offsets), axis=0)
    following = np.arange(1, len(corners) + 1)
    following[offsets[1:] - 1] = offsets[:-1]
    # The sum of cross products of neighbouring corners is twice the facet's vectorial area.
    normals = np.add.reduceat(np.cross(corners, corners[following]), offsets[:-1])
    lengths = np.linalg.norm(normals, axis=1)
    light = normals @ (LIGHT / np.linalg.norm(LIGHT))
    return SHADE + GLOW * np.clip(light / np.where(lengths > 0, lengths, 1.0), 0.0, 1.0)


def facets_of(p: Partition, n_layers: int) -> Facets:
    """The regions of the partition by the first layers, with their corners in order."""
    nesting = p.nesting
    if n_layers == nesting.n_layers:
        return Facets(p.region_offsets, p.region_vertices, np.arange(p.n_regions))
    labels = nesting.labels[n_layers].astype(np.int64)
    owners = labels[np.repeat(np.arange(p.n_regions), np.diff(p.region_offsets))]
    kept = p.edge_layers[p.region_halfedges >> 1] < n_layers
    halfedges, owners = p.region_halfedges[kept], owners[kept]
    starts = p.edges[halfedges >> 1, halfedges & 1]
    stops = p.edges[halfedges >> 1, 1 - (halfedges & 1)]
    # A facet is convex: no vertex comes twice in its loop.
    order = np.argsort(owners * p.n_vertices + starts)
    owners, starts, stops = owners[order], starts[order], stops[order]
    following = np.searchsorted(owners * p.n_vertices + starts, owners * p.n_vertices + stops)
    offsets = np.searchsorted(owners, np.arange(len(nesting.members[n_layers]) + 1))
    in_order = np.lexsort([-_steps_to_end(following, offsets[:-1]), owners])
    return Facets(offsets, starts[in_order], nesting.members[n_layers])


def _steps_to_end(following: Ints, firsts: Ints) -> Ints:
    """How far each entry of closed chains is from the one before the chain's first entry.

    By pointer jumping: in each round all pointers reach twice as far.
    """
    ahead = following.copy()
    before_first = np.empty_like(ahead)
    before_first[following] = np.arange(len(ahead))
    ends = before_first[firsts]
    ahead[ends] = ends
    steps = np.ones(len(ahead), np.int64)
    steps[ends] = 0
    while (ahead != ahead[ahead]).any():
        steps += steps[ahead]
        ahead = ahead[ahead]
    return steps
