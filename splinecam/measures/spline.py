"""The network as an affine spline on the slice: a map for each region, and exact integrals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from splinecam._kernels.slopes import decompose_slopes, measure_changes
from splinecam.common.types import Floats
from splinecam.common.workers import Workers
from splinecam.partition.partition import Partition

GRAIN = 4096
"""Least number of regions or edges that is worth a range of its own."""


@dataclass(frozen=True, eq=False, repr=False)
class RegionMaps:
    """The affine maps, output = A u + b, of all regions; made by `region_maps`.

    Plane coordinates measure lengths of the input space, so that all slopes here are those of the
    network along the slice. An integral over the slice, for inputs spread evenly on it, is a sum
    over the regions and exact: an affine function's mean over a region is its value at the
    centroid.

    Parameters
    ----------
    partition : Partition
        The partition, of R regions and E edges.
    slopes : ndarray
        (R, out, 2) float64: A.
    offsets : ndarray
        (R, out) float64: b.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.measures.spline import region_maps
    >>> fold = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = fold[0].weight.copy_(torch.tensor([[3.0, 4.0]])), fold[0].bias.zero_()
    >>> maps = region_maps(sc.compute_partition(fold, sc.Slice.box((-1, 1), (-1, 1))))
    >>> maps
    <RegionMaps: 2 regions, 1 output>
    >>> sorted(maps.lipschitz.tolist()), maps.mean_slope_norm
    ([0.0, 5.0], 2.5)
    >>> maps.agop.round(6).tolist()
    [[4.5, 6.0], [6.0, 8.0]]
    """

    partition: Partition
    slopes: Floats
    offsets: Floats

    def __post_init__(self) -> None:
        self.slopes.setflags(write=False)
        self.offsets.setflags(write=False)

    def __repr__(self) -> str:
        n_regions, n_outputs = self.offsets.shape
        return (
            f"<RegionMaps: {n_regions:,} region{'' if n_regions == 1 else 's'}, "
            f"{n_outputs:,} output{'' if n_outputs == 1 else 's'}>"
        )

    @cached_property
    def singular_values(self) -> Floats:
        """(R, 2) float64: the singular values σ₁ ≥ σ₂ of A; σ₂ is 0 if there is one output."""
        values = np.empty((len(self.slopes), 2))
        with Workers() as workers:
            workers.run(decompose_slopes, len(values), self.slopes, values, grain=GRAIN)
        values.setflags(write=False)
        return values

    @property
    def slope_norms(self) -> Floats:
        """(R,) float64: the Frobenius norm ‖A‖ = √(σ₁² + σ₂²)."""
        return np.hypot(self.singular_values[:, 0], self.singular_values[:, 1])

    @property
    def lipschitz(self) -> Floats:
        """(R,) float64: σ₁, the Lipschitz constant of the network on the region, in the plane."""
        return self.singular_values[:, 0]

    @property
    def volume_scales(self) -> Floats:
        """(R,) float64: √det(AᵀA) = σ₁ σ₂, the area of the image for each unit of area.

        With latents spread evenly on the slice the density on the image is its inverse (Humayun et
        al., "MaGNET", ICLR 2022, arXiv 2110.08009).
        """
        return self.singular_values.prod(axis=1)

    @cached_property
    def values(self) -> Floats:
        """(R, out) float64: outputs at the centroids, which are the means over the regions."""
        centroids = self.partition.centroids
        values = self.offsets.copy()
        for axis in range(2):
            values += self.slopes[:, :, axis] * centroids[:, axis, None]
        values.setflags(write=False)
        return values

    @property
    def classes(self) -> NDArray[np.int64]:
        """(R,) int64: the greatest output at the centroid; of a single one whether it is > 0."""
        if self.values.shape[1] == 1:
            return (self.values[:, 0] > 0).astype(np.int64)
        return self.values.argmax(axis=1)

    @property
    def mean_output(self) -> Floats:
        """(out,) float64: the mean output over the slice."""
        return self._shares @ self.values

    @property
    def mean_slope_norm(self) -> float:
        """The mean of `slope_norms` over the slice."""
        return float(self._shares @ self.slope_norms)

    @property
    def agop(self) -> Floats:
        """(2, 2) float64: the average gradient outer product, the mean of AᵀA over the slice.

        Radhakrishnan et al., "Mechanism for feature learning in neural networks and
        backpropagation-free machine learning models", Science 383, 2024, there for samples. With
        the slice's `basis` E, (2, D), it is E G Eᵀ for the G of `slice_agop`.
        """
        weighted = np.sqrt(self._shares)[:, None, None] * self.slopes
        rows = weighted.reshape(-1, 2)
        return rows.T @ rows

    @cached_property
    def slope_changes(self) -> Floats:
        """(E,) float64: ‖A - A'‖, for the maps on the two sides of each edge; NaN outside.

        The outputs are continuous, so that A - A' is an outer product with the edge's normal, and
        the Frobenius norm is the spectral one.
        """
        changes = np.empty(self.partition.n_edges)
        sides = self.partition.edge_regions
        with Workers() as workers:
            workers.run(measure_changes, len(changes), sides, self.slopes, changes, grain=GRAIN)
        changes.setflags(write=False)
        return changes

    @property
    def _shares(self) -> Floats:
        """(R,): the share of the slice that each region has."""
        return self.partition.areas / self.partition.areas.sum()


def region_maps(partition: Partition) -> RegionMaps:
    """Compute the affine maps of all regions.

    Parameters
    ----------
    partition : Partition

    Returns
    -------
    RegionMaps
    """
    return RegionMaps(partition, *partition.affine_maps())
