"""How far decisions are from changing, region by region."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from splinecam._kernels.ranking import Margins, measure_margins
from splinecam.common.workers import Workers
from splinecam.measures.spline import RegionMaps

REGION_GRAIN = 1024
"""Least number of regions that is worth a range of its own."""


def region_margins(maps: RegionMaps) -> dict[str, NDArray[Any]]:
    """Measure how far the decision in each region is from changing.

    The decision is as in `decision_boundary`: the greatest output, the lowest of equals; of a
    single output whether it is positive, class 1, which leads by its value.

    Parameters
    ----------
    maps : RegionMaps
        Of R regions.

    Returns
    -------
    dict of str to ndarray
        ``"class"`` : (R,) int64
            The class at the centroid.
        ``"gap"`` : (R,) float64
            The least lead of the greatest output over the second in the region; 0 where the
            decision changes inside.
        ``"centroid_gap"`` : (R,) float64
            The lead at the centroid.
        ``"centroid_distance"`` : (R,) float64
            The least, over the other classes, of the lead at the centroid over the norm of its
            gradient: how far from the centroid, in the plane, the decision would change if the
            region's map held everywhere (the first step of DeepFool: Moosavi-Dezfooli et al., CVPR
            2016, eq. 7-8, here along the slice). Infinite if no lead has a gradient.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.measures.margins import region_margins
    >>> model = torch.nn.Linear(2, 2)
    >>> with torch.no_grad():
    ...     _ = model.weight.copy_(torch.eye(2)), model.bias.zero_()
    >>> p = sc.compute_partition(model, sc.Slice.box((2, 4), (0, 1)))
    >>> margins = region_margins(sc.region_maps(p))
    >>> {name: values.round(3).tolist() for name, values in margins.items()}
    {'class': [0], 'gap': [1.0], 'centroid_gap': [2.5], 'centroid_distance': [1.768]}
    """
    partition, slopes, offsets = maps.partition, maps.slopes, maps.offsets
    if offsets.shape[1] == 1:  # a single output competes with 0
        slopes = np.concatenate([np.zeros_like(slopes), slopes], axis=1)
        offsets = np.concatenate([np.zeros_like(offsets), offsets], axis=1)
    n = partition.n_regions
    margins = Margins(np.empty(n, np.int64), np.empty(n), np.empty(n), np.empty(n))
    loops = (partition.vertices, partition.region_offsets, partition.region_vertices)
    arrays = (slopes, offsets, *loops, partition.centroids, margins)
    with Workers() as workers:
        workers.run(measure_margins, n, *arrays, grain=REGION_GRAIN)
    return {
        "class": margins.classes,
        "gap": margins.gaps,
        "centroid_gap": margins.centroid_gaps,
        "centroid_distance": margins.centroid_distances,
    }
