"""What the page knows of a partition: arrays, and a header that says what they mean."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from splinecam._kernels.hashing import hash_regions
from splinecam.common.types import Ints
from splinecam.measures.boundary import DecisionBoundary, decision_boundary
from splinecam.partition.partition import Partition
from splinecam.plotting._palettes import as_palette
from splinecam.plotting._patterns import pattern_colours
from splinecam.plotting._style import INK
from splinecam.plotting._values import output_values

ALL_OUTPUTS = 16
"""Up to so many outputs all are in the page."""


class PageContents(NamedTuple):
    """What `page_contents` collects."""

    header: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


def page_contents(p: Partition) -> PageContents:
    """Collect what the page shows.

    Coordinates are drawn relative to the middle of the slice's box, in units of half its greater
    side, so that float32 is fine enough for them.
    """
    low, high = p.slice.polygon.min(axis=0), p.slice.polygon.max(axis=0)
    middle, scale = (low + high) / 2, float((high - low).max()) / 2
    boundary = decision_boundary(p)
    outputs = _listed_outputs(boundary)
    palette, places = as_palette(pattern_colours(p))
    units = p.network.units
    layers = [
        {"name": name, "size": size, "highest": highest, "isGroup": is_group}
        for name, size, highest, is_group in zip(
            units.names, units.sizes, units.highest, units.are_groups, strict=True
        )
    ]
    header = {
        "layers": layers,
        "middle": middle.tolist(),
        "scale": scale,
        "size": ((high - low) / 2 / scale).tolist(),
        "outline": ((p.slice.polygon - middle) / scale).ravel().tolist(),
        "typicalSize": float(np.sqrt(np.median(p.areas))) / scale,
        "outputs": outputs.tolist(),
        "nOutputs": p.network.n_outputs,
        "boundaryName": "Zero level" if p.network.n_outputs == 1 else "Decision boundary",
        "palette": palette,
        "ink": INK,
    }
    flips = p.edge_flips
    arrays = {
        "vertices": ((p.vertices - middle) / scale).astype(np.float32),
        "edges": p.edges.astype(np.uint32),
        "edgeLayers": p.edge_layers.astype(np.int16),
        "sides": np.diff(p.region_offsets).astype(np.uint16),
        "halfedges": p.region_halfedges.astype(np.uint32),
        "areas": p.areas,
        "colours": places,
        "active": active_counts(p).astype(np.uint32),
        "flipCounts": np.bincount(flips.edges, minlength=p.n_edges).astype(np.uint16),
        "flipLayers": flips.layers.astype(np.uint16),
        "flipUnits": flips.units.astype(np.uint32),
        "flipSteps": flips.steps.astype(np.int16),
        "outputs": output_values(p, outputs).astype(np.float32),
        "boundary": ((boundary.segments - middle) / scale).astype(np.float32),
    }
    return PageContents(header, arrays)


def active_counts(p: Partition) -> Ints:
    """(R, L) int64: how many breakpoints of each layer's units a region exceeds.

    For a layer of ReLUs that is its active units. Crossing an edge changes the counts by its
    flips, so no pattern is written down.
    """
    flips = p.edge_flips
    first_units = p.network.units.first_units
    counts = np.empty((len(p.layer_names), p.n_regions), np.int64)
    for layer, own in enumerate(counts):
        chosen = flips.layers == layer
        steps = np.zeros(p.n_edges, np.int64)
        np.add.at(steps, flips.edges[chosen], flips.steps[chosen])
        root = int(p.root_pattern[first_units[layer] : first_units[layer + 1]].sum(dtype=np.int64))
        hash_regions(
            *(p.edge_regions[0, 0], root),
            *(p.region_offsets, p.region_halfedges, p.edge_regions, steps, own),
        )
    return np.ascontiguousarray(counts.T)


def _listed_outputs(boundary: DecisionBoundary) -> NDArray[np.int64]:
    """Which outputs are in the page: all if they are few, else those that win somewhere."""
    n_outputs = boundary.partition.network.n_outputs
    if n_outputs <= ALL_OUTPUTS:
        return np.arange(n_outputs)
    return np.unique(boundary.piece_classes)
