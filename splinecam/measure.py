"""Measures of a partition's regions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from splinecam._kernels.shapes import measure_spans
from splinecam.partition import Partition

SHORTEST = 1e-10
"""Added to the denominator of the eccentricity, in units of the plane, as in SplineCam's code."""


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
        the input space. The first three are the partition's own arrays, which are read-only.

        ``"area"`` : (R,) float64
            Area.
        ``"perimeter"`` : (R,) float64
            Perimeter.
        ``"centroid"`` : (R, 2) float64
            Centre of mass, in plane coordinates.
        ``"n_sides"`` : (R,) int64
            Number of edges, those on the slice's boundary included.
        ``"eccentricity"`` : (R,) float64
            Largest distance between two vertices over the smallest one plus 1e-10: how the code
            released with SplineCam (Humayun et al., CVPR 2023, arXiv 2302.12828) measures
            elongation. The constant makes it depend on scale: regions with vertices no further
            apart than about 1e-10 count as rounder than they are.
        ``"compactness"`` : (R,) float64
            The isoperimetric quotient 4 π area / perimeter², whatever the scale: 1 for a disc, π/4
            for a square, 0 for a needle (Osserman, "The isoperimetric inequality", Bulletin of the
            AMS 84, 1978, eq. 1).
        ``"touches_boundary"`` : (R,) bool
            Whether an edge is on the slice's boundary, so that the slice cuts the region off.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.measure import region_statistics
    >>> fold = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = fold[0].weight.copy_(torch.tensor([[1.0, 0.0]])), fold[0].bias.zero_()
    >>> p = sc.compute_partition(fold, sc.Slice.box((-1, 1), (0, 1)))
    >>> statistics = region_statistics(p)
    >>> statistics["n_sides"].tolist(), statistics["perimeter"].tolist()
    ([4, 4], [4.0, 4.0])
    >>> statistics["eccentricity"].round(6).tolist()
    [1.414214, 1.414214]
    """
    shortest, longest = np.empty(partition.n_regions), np.empty(partition.n_regions)
    loops = (partition.vertices, partition.region_offsets, partition.region_vertices)
    measure_spans(0, partition.n_regions, *loops, shortest, longest)
    outer = partition.edge_regions[:, 1] < 0
    touches_boundary = np.zeros(partition.n_regions, bool)
    touches_boundary[partition.edge_regions[outer, 0]] = True
    return {
        "area": partition.areas,
        "perimeter": partition.perimeters,
        "centroid": partition.centroids,
        "n_sides": np.diff(partition.region_offsets).astype(np.int64),
        "eccentricity": longest / (shortest + SHORTEST),
        "compactness": 4 * np.pi * partition.areas / partition.perimeters**2,
        "touches_boundary": touches_boundary,
    }
