"""How far points are from the partition: from each unit's zero set, and from regions' edges."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import shapely
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from splinecam.common.arguments import as_float64
from splinecam.common.batches import (
    BATCH_ENTRIES,
    BATCH_INPUTS,
    checked_batch_size,
    checked_device,
    checked_points,
    input_size,
    point_batches,
)
from splinecam.common.types import Floats, Ints
from splinecam.errors import InvalidArgumentError
from splinecam.measures.activations import ActivationWatch, Layers
from splinecam.partition.partition import Partition


@dataclass(frozen=True, eq=False, repr=False)
class UnitDistances:
    """How far points are from where units bend; made by `unit_distances`.

    Attributes
    ----------
    per_unit : tuple of ndarray
        L arrays (n, units) float64, in units of the input; infinite where a unit does not vary
        with the input.
    layer_names : tuple of str
        L names: the paths of the activations in the model, in the order of their calls.
    """

    per_unit: tuple[Floats, ...]
    layer_names: tuple[str, ...]

    def __post_init__(self) -> None:
        for array in self.per_unit:
            array.setflags(write=False)

    def __repr__(self) -> str:
        sizes = [distances.shape[1] for distances in self.per_unit]
        n = len(self.minimum)
        return (
            f"<UnitDistances: {self.minimum.mean():.6g} to the nearest of {sum(sizes):,} units in "
            f"the mean of {n:,} points; layers: {len(sizes)}>"
        )

    @cached_property
    def per_layer(self) -> Floats:
        """(n, L) float64: the distance to the nearest unit of each layer."""
        return np.stack([distances.min(axis=1) for distances in self.per_unit], axis=1)

    @cached_property
    def minimum(self) -> Floats:
        """(n,) float64: the distance to the nearest unit, where the point's region ends."""
        return self.per_layer.min(axis=1)


def unit_distances(
    model: nn.Module,
    points: ArrayLike,
    *,
    layers: Layers | None = None,
    device: str | torch.device | None = None,
    batch_size: int | None = None,
) -> UnitDistances:
    """Measure how far points of the input space are from where each unit of a model bends.

    With z a unit's pre-activation and t its breakpoint next to it, that is ``|z - t| / ‖∇z‖``, the
    gradient taken with respect to the input: the distance to the hyperplane on which the unit's
    affine function at the point is t. The least one of all units is the distance to the boundary
    of the point's linear region (Hanin & Rolnick, "Complexity of linear regions in deep networks",
    ICML 2019), exactly, wherever the network is piecewise linear and all its units are looked at;
    for smooth activations and attention it is so to first order. Max groups are no units: where
    their arg-max changes is not looked at. The distance to another unit is
    that to its zero set if the foot of the perpendicular is in the region too.

    The gradients are derivatives along all D input coordinates, by forward-mode automatic
    differentiation in float64: D evaluations of the model, in all, for each point.

    Parameters
    ----------
    model, points, layers, device
        As for `local_complexity`; units are the same.
    batch_size : int, optional
        How many points are evaluated at a time, each along a number of coordinates. Default: as
        many as make about 2,000 inputs or a million entries of inputs.

    Returns
    -------
    UnitDistances

    Raises
    ------
    InvalidArgumentError
        If an argument other than the model is none of these.
    InvalidModelError
        If the model's weights or pre-activations are not finite, or it cannot be evaluated on
        such inputs or differentiated.
    UnsupportedLayerError
        If no activation is found, or a result would depend on other points or on chance.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> folds = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = folds[0].weight.copy_(2 * torch.eye(2)), folds[0].bias.zero_()
    >>> distances = sc.unit_distances(folds, [[0.5, 0.0], [1.0, 3.0]])
    >>> distances.per_unit[0].tolist()
    [[0.5, 0.0], [1.0, 3.0]]
    >>> distances.minimum.tolist()
    [0.0, 1.0]
    """
    x = checked_points(points)
    dim = input_size(x)
    n_directions = max(1, min(dim, BATCH_INPUTS, BATCH_ENTRIES // dim))
    size = checked_batch_size(batch_size, dim, per_point=n_directions)
    where = checked_device(device)
    with torch.inference_mode(False), torch.no_grad(), _forward_mode():
        watch = ActivationWatch(model, layers, where, partial(_slopes, n_directions=n_directions))
        found, seen = watch.run_all(_dual_batches(x, size, n_directions, where))
    n_passes = -(-dim // n_directions)
    per_unit = tuple(_distances(slopes, n_passes) for slopes in seen)
    return UnitDistances(per_unit, tuple(layer.name for layer in found))


def nearest_edges(partition: Partition, uv: ArrayLike) -> NearestEdges:
    """Find the regions' edge nearest to each of some points of a slice's plane.

    Edges on the slice's boundary are left out. The distance is exact up to the rounding of
    coordinates, whatever lies in between; as it is within the slice, it is at least that to the
    nearest boundary in the input space (`unit_distances`).

    Parameters
    ----------
    partition : Partition
    uv : array_like
        (n, 2), plane coordinates, inside the slice or not.

    Returns
    -------
    NearestEdges

    Raises
    ------
    InvalidArgumentError
        If `uv` is not of this kind.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> fold = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = fold[0].weight.copy_(torch.tensor([[1.0, 0.0]])), fold[0].bias.zero_()
    >>> p = sc.compute_partition(fold, sc.Slice.box((-1, 1), (-1, 1)))
    >>> nearest = sc.nearest_edges(p, [(0.25, 0.5), (0.0, 2.0)])
    >>> nearest.distances.tolist(), p.edge_units[nearest.edges].tolist()
    ([0.25, 1.0], [0, 0])
    """
    points = as_float64("uv", uv, ("n", 2), InvalidArgumentError)
    edges = np.full(len(points), -1, np.int64)
    distances = np.full(len(points), np.inf)
    inner = np.flatnonzero(partition.edge_hinges >= 0)
    if len(inner) and len(points):
        lines = shapely.linestrings(partition.vertices[partition.edges[inner]])
        tree = shapely.STRtree(np.asarray(lines))
        (which, found), lengths = tree.query_nearest(shapely.points(points), return_distance=True)
        distances[which] = lengths
        edges[which] = partition.n_edges
        np.minimum.at(edges, which, inner[found])  # the first of edges that are equally near
    return NearestEdges(edges, distances)


class NearestEdges(NamedTuple):
    """The edges nearest to n points; made by `nearest_edges`."""

    edges: Ints
    """(n,) int64, edges of the partition; -1 where it has none inside the slice."""
    distances: Floats
    """(n,) float64, in units of the input space; infinite without edges."""


class _Slopes(NamedTuple):
    """One layer's pre-activations, seen along some directions from a batch of points."""

    gaps: Tensor  # (n, units): how far from their nearest breakpoints
    squares: Tensor  # (n, units): sums of the squared derivatives along the directions


def _slopes(z: Tensor, breakpoints: tuple[float, ...], n_directions: int) -> _Slopes:
    """Look at pre-activations (n * n_directions, units) with their derivatives."""
    values, derivatives = forward_ad.unpack_dual(z)
    if derivatives is None:
        derivatives = torch.zeros_like(values)
    at_points = values[::n_directions]
    gaps = torch.stack([(at_points - t).abs() for t in breakpoints]).amin(dim=0)
    squares = derivatives.unflatten(0, (-1, n_directions)).square().sum(dim=1)
    return _Slopes(gaps, squares)


def _dual_batches(
    points: NDArray[Any], size: int, n_directions: int, device: torch.device
) -> Iterator[Tensor]:
    """Yield each batch of points again and again, with other coordinates' directions each time."""
    shape, dim = points.shape[1:], input_size(points)
    for batch in point_batches(points, size, device):
        repeated = batch.repeat_interleave(n_directions, dim=0)
        for start in range(0, dim, n_directions):
            # Rows below the last coordinate are zero: no direction.
            directions = torch.zeros(n_directions, dim, dtype=torch.float64, device=device)
            directions.diagonal(start).fill_(1)
            tangents = directions.reshape(-1, *shape).repeat(len(batch), *(1 for _ in shape))
            yield _dual(repeated, tangents)


@contextmanager
def _forward_mode() -> Iterator[None]:
    """Let tensors carry derivatives; fused attention has none, so that the plain one is taken."""
    with forward_ad.dual_level(), sdpa_kernel(SDPBackend.MATH):
        yield


def _dual(values: Tensor, tangents: Tensor) -> Tensor:
    """Attach derivatives, whatever torch's own modules warn of when they are first loaded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return forward_ad.make_dual(values, tangents)


def _distances(slopes: Sequence[_Slopes], n_passes: int) -> Floats:
    """Distances (n, units) from what was seen of a layer, `n_passes` times for each batch."""
    parts = []
    for i in range(0, len(slopes), n_passes):
        gaps = slopes[i].gaps
        norms = torch.stack([part.squares for part in slopes[i : i + n_passes]]).sum(dim=0).sqrt()
        parts.append(torch.where(norms > 0, gaps / norms, torch.inf))
    return torch.cat(parts).cpu().numpy()
