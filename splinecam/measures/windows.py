"""What is in discs around points of a slice: regions and edges, counted and measured exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from splinecam._kernels.windows import Strips, add_lengths, count_near, measure_discs
from splinecam.common.arguments import as_float64
from splinecam.common.types import Floats, Ints
from splinecam.common.workers import Workers
from splinecam.errors import InvalidArgumentError
from splinecam.partition.partition import Partition

SMALLEST_RADIUS = 1e-150
"""Squares of smaller numbers are no normal float64 numbers."""

STRIP_GRAIN = 4
"""Least number of strips of points that is worth a range of its own."""

DISC_GRAIN = 4096
"""Least number of discs that is worth a range of its own."""


def region_count(partition: Partition, points: ArrayLike, *, radius: float) -> Ints:
    """Count the regions that meet discs around points of a slice's plane.

    A region meets the disc if some of its area is in the disc. Nothing is sampled: by Euler's
    formula a convex part of the slice that E edges pass through and V vertices lie in, those on
    the slice's boundary left out, has 1 + E - V regions in it.

    Parameters
    ----------
    partition : Partition
        The partition.
    points : array_like
        (n, 2), plane coordinates of the discs' centres, inside the slice or not.
    radius : float
        The discs' radius > 0, in units of the input space.

    Returns
    -------
    ndarray
        (n,) int64; 0 where the disc does not meet the slice.

    Raises
    ------
    InvalidArgumentError
        If an argument is not of this kind.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.measures.windows import region_count
    >>> fold = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = fold[0].weight.copy_(torch.tensor([[1.0, 0.0]])), fold[0].bias.zero_()
    >>> p = sc.compute_partition(fold, sc.Slice.box((-1, 1), (-1, 1)))
    >>> region_count(p, [(0.1, 0.0), (0.5, 0.0), (3.0, 0.0)], radius=0.25).tolist()
    [2, 1, 0]
    """
    centres, radius = _checked_discs(points, radius)
    inner = partition.edge_hinges >= 0
    is_inside = np.ones(partition.n_vertices, bool)
    is_inside[partition.edges[~inner]] = False
    vertices = np.repeat(partition.vertices[is_inside, None], 2, axis=1)
    n_edges = _in_discs(count_near, _inner_edges(partition), centres, radius, np.int64)
    n_vertices = _in_discs(count_near, vertices, centres, radius, np.int64)
    return _meets_slice(partition, centres, radius) + n_edges - n_vertices


def edge_length(partition: Partition, points: ArrayLike, *, radius: float) -> Floats:
    """Measure how much of the regions' edges is in discs around points of a slice's plane.

    Edges on the slice's boundary are left out.

    Parameters
    ----------
    partition, points, radius
        As for `region_count`.

    Returns
    -------
    ndarray
        (n,) float64, in units of the input space.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.measures.windows import edge_length
    >>> fold = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = fold[0].weight.copy_(torch.tensor([[1.0, 0.0]])), fold[0].bias.zero_()
    >>> p = sc.compute_partition(fold, sc.Slice.box((-1, 1), (-1, 1)))
    >>> edge_length(p, [(0.0, 0.0), (0.3, 0.0), (0.5, 0.0)], radius=0.5).round(6).tolist()
    [1.0, 0.8, 0.0]
    """
    centres, radius = _checked_discs(points, radius)
    return _in_discs(add_lengths, _inner_edges(partition), centres, radius, np.float64)


def edge_density(partition: Partition, points: ArrayLike, *, radius: float) -> Floats:
    """Measure the length of the regions' edges per area of the slice in discs around points.

    This is vol(B ∩ K) / vol(K), with B the boundaries of regions and K the part of the slice that
    is in the disc (Hanin & Rolnick, "Complexity of linear regions in deep networks", ICML 2019).

    Parameters
    ----------
    partition, points, radius
        As for `region_count`.

    Returns
    -------
    ndarray
        (n,) float64, per unit of the input space; NaN where the disc does not meet the slice.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.measures.windows import edge_density
    >>> fold = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = fold[0].weight.copy_(torch.tensor([[1.0, 0.0]])), fold[0].bias.zero_()
    >>> p = sc.compute_partition(fold, sc.Slice.box((-1, 1), (-1, 1)))
    >>> edge_density(p, [(0.0, 0.0), (0.0, 1.0)], radius=5.0).tolist()
    [0.5, 0.5]
    """
    centres, radius = _checked_discs(points, radius)
    lengths = _in_discs(add_lengths, _inner_edges(partition), centres, radius, np.float64)
    areas = np.empty(len(centres))
    with Workers() as workers:
        corners = partition.slice.polygon
        workers.run(measure_discs, len(centres), centres, corners, radius, areas, grain=DISC_GRAIN)
    densities = np.full(len(centres), np.nan)
    np.divide(lengths, areas, out=densities, where=_meets_slice(partition, centres, radius))
    return densities


QUANTITIES: dict[str, Callable[..., NDArray[Any]]] = {
    "regions": region_count,
    "length": edge_length,
    "density": edge_density,
}
"""What `complexity_map` can show."""


@dataclass(frozen=True, eq=False, repr=False)
class ComplexityMap:
    """A quantity in discs around the points of a grid; made by `complexity_map`.

    Attributes
    ----------
    values : ndarray
        (ny, nx) float64: a row for each y, ascending.
    x, y : ndarray
        (nx,) and (ny,) float64, plane coordinates of the grid's points, which are the centres of
        equal cells.
    extent : tuple of float
        The cells' outer limits: left, right, bottom, top.
    quantity : str
        What the values are.
    radius : float
        The discs' radius.
    """

    values: Floats
    x: Floats
    y: Floats
    extent: tuple[float, float, float, float]
    quantity: str
    radius: float

    def __repr__(self) -> str:
        ny, nx = self.values.shape
        return f"<ComplexityMap: {self.quantity} in discs of radius {self.radius:g}, {nx} × {ny}>"


def complexity_map(
    partition: Partition,
    *,
    radius: float,
    resolution: int | tuple[int, int] = 256,
    quantity: str = "regions",
) -> ComplexityMap:
    """Map what is in discs around the points of a grid over a slice.

    Parameters
    ----------
    partition : Partition
        The partition.
    radius : float
        The discs' radius > 0, in units of the input space.
    resolution : int or (int, int)
        How many points (nx, ny) the grid has; a number stands for both.
    quantity : {"regions", "length", "density"}
        What to map: `region_count`, `edge_length` or `edge_density`. At every point of the grid
        the value is the one that function gives.

    Returns
    -------
    ComplexityMap
        Over the box around the slice's polygon.

    Raises
    ------
    InvalidArgumentError
        If an argument is not of this kind.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.measures.windows import complexity_map
    >>> fold = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = fold[0].weight.copy_(torch.tensor([[1.0, 0.0]])), fold[0].bias.zero_()
    >>> p = sc.compute_partition(fold, sc.Slice.box((-1, 1), (-1, 1)))
    >>> grid = complexity_map(p, radius=0.5, resolution=(6, 2))
    >>> grid
    <ComplexityMap: regions in discs of radius 0.5, 6 × 2>
    >>> grid.values.tolist()
    [[1.0, 1.0, 2.0, 2.0, 1.0, 1.0], [1.0, 1.0, 2.0, 2.0, 1.0, 1.0]]
    """
    if quantity not in QUANTITIES:
        accepted = ", ".join(map(repr, QUANTITIES))
        raise InvalidArgumentError(f"quantity is {quantity!r}; accepted: {accepted}")
    length, counts = checked_radius(radius), _grid_size(resolution)
    low, high = partition.slice.polygon.min(axis=0), partition.slice.polygon.max(axis=0)
    x, y = (
        a + (b - a) * (np.arange(count) + 0.5) / count
        for a, b, count in zip(low, high, counts, strict=True)
    )
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    values = QUANTITIES[quantity](partition, points, radius=length).astype(np.float64)
    for array in (values, x, y):
        array.setflags(write=False)
    extent = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
    return ComplexityMap(values.reshape(len(y), len(x)), x, y, extent, quantity, length)


def _grid_size(resolution: Any) -> tuple[int, int]:
    sizes = resolution if isinstance(resolution, tuple) else (resolution, resolution)
    if len(sizes) != 2 or not all(isinstance(n, int | np.integer) and n >= 1 for n in sizes):
        raise InvalidArgumentError(
            f"resolution is {resolution!r}; accepted: a positive integer, or a pair (nx, ny)"
        )
    return sizes


def checked_radius(radius: float) -> float:
    """Return a radius as a float, or refuse it."""
    length = float(as_float64("radius", radius, (), InvalidArgumentError))
    if length < SMALLEST_RADIUS:
        raise InvalidArgumentError(
            f"radius is {radius!r}; accepted: a number >= {SMALLEST_RADIUS:g}"
        )
    return length


def _checked_discs(points: ArrayLike, radius: float) -> tuple[Floats, float]:
    return as_float64("points", points, ("n", 2), InvalidArgumentError), checked_radius(radius)


def _inner_edges(partition: Partition) -> Floats:
    """Ends (k, 2, 2) of the edges inside the slice."""
    return partition.vertices[partition.edges[partition.edge_hinges >= 0]]


def _meets_slice(partition: Partition, centres: Floats, radius: float) -> NDArray[np.bool_]:
    """Tell which discs have area in common with the slice."""
    polygon = shapely.Polygon(partition.slice.polygon)
    return np.asarray(shapely.distance(polygon, shapely.points(centres))) < radius


def _in_discs(
    kernel: Callable[..., None],
    segments: Floats,
    centres: Floats,
    radius: float,
    dtype: type[np.generic],
) -> NDArray[Any]:
    """What a kernel adds up over segments (k, 2, 2) for the discs around points (n, 2)."""
    if not len(centres) or not len(segments):
        return np.zeros(len(centres), dtype)
    strips, order = _in_strips(centres)
    largest = max(np.abs(centres).max(), np.abs(segments).max(), radius)
    # The kernels leave out what is further away; rounding of that distance shall not.
    reach = radius + 8 * np.spacing(largest)
    sums = np.zeros(len(centres), dtype)
    n_strips = len(strips.offsets) - 1
    with Workers() as workers:
        workers.run(kernel, n_strips, strips, segments, radius, reach, sums, grain=STRIP_GRAIN)
    in_order = np.empty_like(sums)
    in_order[order] = sums
    return in_order


def _in_strips(points: Floats) -> tuple[Strips, NDArray[np.intp]]:
    """Sort points (n, 2), n >= 1, into about as many strips as there are points in each."""
    n_strips = math.isqrt(len(points) - 1) + 1
    bottom, top = points[:, 1].min(), points[:, 1].max()
    per_height = n_strips / max(top - bottom, SMALLEST_RADIUS)
    # The same expression as in the kernel, so that rounding leaves no point in another strip.
    strip = np.minimum((points[:, 1] - bottom) * per_height, n_strips - 1).astype(np.int64)
    order = np.lexsort((points[:, 0], strip))
    offsets = np.searchsorted(strip[order], np.arange(n_strips + 1))
    x, y = points[order].T.copy()
    return Strips(x, y, offsets, float(bottom), float(per_height)), order
