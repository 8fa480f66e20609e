"""What has to hold for every partition: the checks behind `Partition.check_invariants`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from splinecam.errors import InvariantError
from splinecam.network.bounds import vertex_error

if TYPE_CHECKING:
    from splinecam.partition.partition import Partition

AREA_TOLERANCE = 1e-9
"""Relative error that the sum of all areas may have from rounding."""


def check_invariants(partition: Partition) -> None:
    """Raise `InvariantError` unless the partition is a sound subdivision of its slice.

    Checked are: numbers in range; every half-edge in exactly one loop, that of the region which
    `edge_regions` names; closed loops; V - E + R = 1; areas that sum to the slice's, none of them
    negative but for the errors of coordinates; no vertex that is no corner of any region; labels
    of breakpoints the network has.
    """
    _check_numbers(partition)
    _check_halfedges(partition)
    _check_loops(partition)
    _check_areas(partition)
    _check_corners(partition)


def _require(condition: bool | np.bool_, message: str) -> None:
    if not condition:
        raise InvariantError(message)


def _check_numbers(p: Partition) -> None:
    """Every index must name something that exists; kernels rely on it."""
    offsets, hinges = p.region_offsets, p.network.units.n_hinges
    _require(p.n_regions >= 1, "there is no region")
    _require(
        offsets[0] == 0
        and offsets[-1] == len(p.region_halfedges)
        and (np.diff(offsets.astype(np.int64)) >= 3).all(),
        "region_offsets does not cut region_halfedges into loops of three or more",
    )
    for name, array, low, high in (
        ("edges", p.edges, 0, p.n_vertices),
        ("edge_regions", p.edge_regions, -1, p.n_regions),
        ("edge_hinges", p.edge_hinges, -1, hinges),
        ("shared_edges", p.shared_edges, 0, p.n_edges),
        ("shared_hinges", p.shared_hinges, 0, 2 * hinges),
        ("region_halfedges", p.region_halfedges, 0, 2 * p.n_edges),
    ):
        inside = (array >= low).all() and (array < high).all()
        _require(inside, f"{name} has entries outside {low} … {high - 1}")
    _require(
        p.edges.shape == p.edge_regions.shape == (p.n_edges, 2)
        and p.vertices.shape == (p.n_vertices, 2)
        and p.edge_hinges.shape == (p.n_edges,)
        and p.shared_edges.shape == p.shared_hinges.shape
        and p.root_pattern.shape == (sum(p.layer_sizes),),
        "the arrays' shapes do not fit each other",
    )
    _require((np.diff(p.shared_edges) >= 0).all(), "shared_edges does not ascend")
    _require((p.edge_regions[:, 0] >= 0).all(), "an edge has no region on its left")
    _require(np.isfinite(p.vertices).all(), "vertices are not finite")
    outer = p.edge_regions[:, 1] < 0
    _require(
        np.array_equal(outer, p.edge_hinges < 0),
        "edges on the slice's boundary and edges without a unit are not the same",
    )


def _check_halfedges(p: Partition) -> None:
    regions = np.repeat(np.arange(p.n_regions), np.diff(p.region_offsets))
    owners = np.full(2 * p.n_edges, -1, np.int64)
    owners[p.region_halfedges] = regions
    _require(
        np.count_nonzero(owners >= 0) == len(p.region_halfedges),
        "a half-edge is in more than one place",
    )
    wrong = np.flatnonzero(owners != p.edge_regions.ravel())
    _require(
        not len(wrong),
        f"edge_regions of edge {wrong[0] // 2 if len(wrong) else 0} contradicts the loops",
    )


def _check_loops(p: Partition) -> None:
    halfedges = p.region_halfedges
    targets = p.edges[halfedges >> 1, 1 - (halfedges & 1)]
    following = np.arange(1, len(halfedges) + 1)
    following[p.region_offsets[1:] - 1] = p.region_offsets[:-1]
    broken = np.flatnonzero(targets != p.region_vertices[following])
    if len(broken):
        region = np.searchsorted(p.region_offsets, broken[0], side="right") - 1
        raise InvariantError(f"the loop of region {region} is not closed")
    euler = p.n_vertices - p.n_edges + p.n_regions
    _require(euler == 1, f"V - E + R is {euler}; it is 1 for every subdivision of a polygon")


def _check_areas(p: Partition) -> None:
    # A region smaller than the errors of its corners may have any area of that size.
    least = -vertex_error(p.slice.polygon) * p.perimeters
    turned = np.flatnonzero(~(p.areas >= least))
    _require(not len(turned), f"region {turned[0] if len(turned) else 0} has a negative area")
    total, whole = p.areas.sum(), p.slice.area
    # Far from the plane's origin coordinates are coarse: each outer edge may be off by some ulps.
    polygon = p.slice.polygon
    length = np.linalg.norm(polygon - np.roll(polygon, 1, axis=0), axis=1).sum()
    coarseness = 4 * np.spacing(np.abs(polygon).max()) * length
    _require(
        abs(total - whole) <= AREA_TOLERANCE * whole + coarseness,
        f"the areas sum to {total!r}, the slice has {whole!r}",
    )


def _check_corners(p: Partition) -> None:
    degrees = np.bincount(p.edges.ravel(), minlength=p.n_vertices)
    corners = np.count_nonzero(degrees == 2)
    _require((degrees >= 2).all(), "a vertex has fewer than two edges")
    _require(
        corners <= len(p.slice.polygon),
        f"{corners} vertices have two edges only; the slice has {len(p.slice.polygon)} corners",
    )
