"""Measures of a partition's regions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from splinecam._kernels.circles import enclose_circles, inscribe_circles
from splinecam._kernels.shapes import measure_flatness, measure_spans
from splinecam.common.types import Floats
from splinecam.common.workers import Workers
from splinecam.partition.partition import Partition

SHORTEST = 1e-10
"""Added to the denominator of the eccentricity, in units of the plane, as in SplineCam's code."""

REGION_GRAIN = 4096
"""Least number of regions that is worth a range of its own."""


def region_statistics(partition: Partition) -> dict[str, NDArray[Any]]:
    """Measure all regions.

    Parameters
    ----------
    partition : Partition
        The partition, of R regions.

    Returns
    -------
    dict of str to ndarray
        One entry for each region, in the order of the partition's regions; lengths are in units of
        the input space, points in plane coordinates. The first three are the partition's own
        arrays, which are read-only.

        ``"area"`` : (R,) float64
            Area.
        ``"perimeter"`` : (R,) float64
            Perimeter.
        ``"centroid"`` : (R, 2) float64
            Centre of mass.
        ``"n_sides"`` : (R,) int64
            Number of edges, those on the slice's boundary included.
        ``"eccentricity"`` : (R,) float64
            Largest distance between two vertices over the smallest one plus 1e-10: how the code
            released with SplineCam (Humayun et al., CVPR 2023, arXiv 2302.12828) measures
            elongation. The constant makes it depend on scale: regions with vertices no further
            apart than about 1e-10 count as rounder than they are.
        ``"ellipse_eccentricity"`` : (R,) float64
            √(1 - λ₂/λ₁), whatever the scale, with λ₁ ≥ λ₂ the principal second moments of area:
            the eccentricity of the ellipse that has the same ones; 0 for regular polygons, 1 for a
            needle.
        ``"compactness"`` : (R,) float64
            The isoperimetric quotient 4 π area / perimeter², whatever the scale: 1 for a disc, π/4
            for a square, 0 for a needle (Osserman, "The isoperimetric inequality", Bulletin of the
            AMS 84, 1978, eq. 1); 0 too where rounding leaves one corner only.
        ``"diameter"``, ``"width"`` : (R,) float64
            Largest distance between two vertices, and the least distance of two parallel lines
            that hold the region between them.
        ``"aspect"`` : (R,) float64
            Diameter over width, 2/√3 or more; infinite without a width.
        ``"incenter"``, ``"inradius"`` : (R, 2) and (R,) float64
            A largest circle inside the region; its centre is a Chebyshev centre, one of several
            between parallel sides. Radius 0 where rounding leaves no inside.
        ``"circumcenter"``, ``"circumradius"`` : (R, 2) and (R,) float64
            The smallest circle round the region.
        ``"boundary_distance"`` : (R,) float64
            Distance from the region to the slice's boundary, 0 where it touches it.
        ``"touches_boundary"`` : (R,) bool
            Whether an edge is on the slice's boundary, so that the slice cuts the region off.
        ``"layer_lengths"`` : (R, L) float64
            Length of the edges that each layer made; what the perimeter is beyond their sum is on
            the slice's boundary.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.measures.regions import region_statistics
    >>> fold = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = fold[0].weight.copy_(torch.tensor([[1.0, 0.0]])), fold[0].bias.zero_()
    >>> p = sc.compute_partition(fold, sc.Slice.box((-1, 1), (0, 1)))
    >>> statistics = region_statistics(p)
    >>> statistics["n_sides"].tolist(), statistics["perimeter"].tolist()
    ([4, 4], [4.0, 4.0])
    >>> statistics["eccentricity"].round(6).tolist(), statistics["inradius"].tolist()
    ([1.414214, 1.414214], [0.5, 0.5])
    """
    shapes = _shapes(partition)
    outer = partition.edge_regions[:, 1] < 0
    touches_boundary = np.zeros(partition.n_regions, bool)
    touches_boundary[partition.edge_regions[outer, 0]] = True
    return {
        "area": partition.areas,
        "perimeter": partition.perimeters,
        "centroid": partition.centroids,
        "n_sides": np.diff(partition.region_offsets).astype(np.int64),
        **shapes,
        "compactness": _ratios(4 * np.pi * partition.areas, partition.perimeters**2, 0.0),
        "boundary_distance": _boundary_distances(partition),
        "touches_boundary": touches_boundary,
        "layer_lengths": _layer_lengths(partition),
    }


def _shapes(partition: Partition) -> dict[str, Floats]:
    """What kernels measure, face by face."""
    n = partition.n_regions
    loops = (partition.vertices, partition.region_offsets, partition.region_vertices)
    shortest, longest, widths, flatness, inradii, circumradii = np.empty((6, n))
    incenters, circumcenters = np.empty((2, n, 2))
    with Workers() as workers:
        for kernel, *arrays in (
            (measure_spans, shortest, longest, widths),
            (measure_flatness, partition.centroids, longest, flatness),
            (inscribe_circles, incenters, inradii),
            (enclose_circles, circumcenters, circumradii),
        ):
            workers.run(kernel, n, *loops, *arrays, grain=REGION_GRAIN)
    return {
        "eccentricity": longest / (shortest + SHORTEST),
        "ellipse_eccentricity": np.sqrt(1 - flatness),
        "diameter": longest,
        "width": widths,
        "aspect": _ratios(longest, widths, np.inf),
        "incenter": incenters,
        "inradius": inradii,
        "circumcenter": circumcenters,
        "circumradius": circumradii,
    }


def _ratios(numerators: Floats, denominators: Floats, otherwise: float) -> Floats:
    """Quotients, where there are any: regions may be smaller than the rounding of corners."""
    quotients = np.full(len(numerators), otherwise)
    return np.divide(numerators, denominators, out=quotients, where=denominators > 0)


def _boundary_distances(partition: Partition) -> Floats:
    """(R,): from inside a convex polygon the nearest side is the one whose line is the nearest."""
    corners = partition.slice.polygon
    distances = np.full(partition.n_vertices, np.inf)
    for start, stop in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        normal = np.array([start[1] - stop[1], stop[0] - start[0]]) / np.hypot(*(stop - start))
        np.minimum(distances, (partition.vertices - start) @ normal, out=distances)
    np.maximum(distances, 0, out=distances)
    distances[partition.edges[partition.edge_regions[:, 1] < 0]] = 0
    return np.minimum.reduceat(distances[partition.region_vertices], partition.region_offsets[:-1])


def _layer_lengths(partition: Partition) -> Floats:
    """(R, L)."""
    n_layers = len(partition.layer_names)
    inner = np.flatnonzero(partition.edge_layers >= 0)
    layers = partition.edge_layers[inner].astype(np.intp)
    lengths = partition.edge_lengths[inner]
    total = np.zeros(partition.n_regions * n_layers)
    for regions in partition.edge_regions[inner].T:
        places = regions * np.intp(n_layers) + layers
        total += np.bincount(places, lengths, len(total))
    return total.reshape(partition.n_regions, n_layers)
