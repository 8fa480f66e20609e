"""Decision boundaries as curves: where they bend, what is near, and points on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from splinecam.common.arguments import as_float64
from splinecam.common.types import Floats, Ints
from splinecam.errors import InvalidArgumentError
from splinecam.measures.boundary import DecisionBoundary

CELLS = 512
"""Cells along each side of the grid that tells which edges may be near a boundary."""


@dataclass(frozen=True, eq=False, repr=False)
class BoundaryCurves:
    """How the segments of a decision boundary hang together; made by `boundary_curves`.

    Segments hang together where they share an end, to the last bit: a *joint*. At a joint of two
    segments the boundary bends, from one region to the next; at one of three or more, classes
    meet; one of a single segment is an end, on the slice's boundary or where a class that ties
    over an area begins.

    Attributes
    ----------
    joints : ndarray
        (J, 2) float64, plane coordinates.
    degrees : ndarray
        (J,) int64, how many segments end there.
    angles : ndarray
        (J,) float64, radians from 0 to π: by how much the boundary turns at joints of two
        segments; NaN at others.
    ends : ndarray
        (S, 2) int64, the joints where each segment begins and ends.
    components : ndarray
        (S,) int64, the connected component, 0 to K - 1, of each segment.
    lengths : ndarray
        (K,) float64, of the components.
    curvatures : ndarray
        (K,) float64, the sum of the angles in each component.
    is_closed : ndarray
        (K,) bool, whether a component has no end.
    """

    joints: Floats
    degrees: Ints
    angles: Floats
    ends: Ints
    components: Ints
    lengths: Floats
    curvatures: Floats
    is_closed: NDArray[np.bool_]

    def __post_init__(self) -> None:
        for array in vars(self).values():
            array.setflags(write=False)

    def __repr__(self) -> str:
        count = len(self.lengths)
        return (
            f"<BoundaryCurves: {count:,} component{'' if count == 1 else 's'}, "
            f"{np.count_nonzero(self.is_closed):,} closed; {len(self.joints):,} joints>"
        )

    @property
    def total_curvature(self) -> float:
        """The sum of all angles, in radians: 2 π for the outline of a convex polygon."""
        return float(self.curvatures.sum())


def boundary_curves(boundary: DecisionBoundary) -> BoundaryCurves:
    """Follow a decision boundary from region to region.

    Parameters
    ----------
    boundary : DecisionBoundary
        Also what `level_set` makes.

    Returns
    -------
    BoundaryCurves
        Angles are those between the `normals` of the two segments: with the gradients n, n' of the
        lead, cos θ = ⟨n, n'⟩ / (‖n‖ ‖n'‖).

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.measures.curves import boundary_curves
    >>> class Diamond(torch.nn.Module):
    ...     def forward(self, x):
    ...         return x.abs() @ torch.ones(2, 1, dtype=x.dtype) - 1
    >>> p = sc.compute_partition(Diamond(), sc.Slice.box((-2, 2), (-2, 2)))
    >>> curves = boundary_curves(sc.decision_boundary(p))
    >>> curves, np.degrees(curves.angles).round(9).tolist()
    (<BoundaryCurves: 1 component, 1 closed; 4 joints>, [90.0, 90.0, 90.0, 90.0])
    """
    n_segments = len(boundary.segments)
    points = boundary.segments.reshape(-1, 2)
    # Complex numbers are sorted by both coordinates; adding 0 makes -0 one of them.
    joints, ends = np.unique(points[:, 0] + 0.0 + 1j * (points[:, 1] + 0.0), return_inverse=True)
    ends = ends.reshape(n_segments, 2).astype(np.int64)
    degrees = np.bincount(ends.ravel(), minlength=len(joints))
    angles = _angles(boundary, ends, degrees)
    graph = coo_array((np.ones(n_segments), (ends[:, 0], ends[:, 1])), shape=2 * (len(joints),))
    count, labels = connected_components(graph, directed=False) if n_segments else (0, degrees)
    is_closed = np.ones(count, bool)
    is_closed[labels[degrees == 1]] = False
    components = labels[ends[:, 0]].astype(np.int64)
    return BoundaryCurves(
        joints=np.stack([joints.real, joints.imag], axis=1),
        degrees=degrees,
        angles=angles,
        ends=ends,
        components=components,
        lengths=_sums(components, boundary.lengths, count),
        curvatures=_sums(labels, np.nan_to_num(angles), count),
        is_closed=is_closed,
    )


def _sums(groups: Ints, values: Floats, count: int) -> Floats:
    return np.bincount(groups, values, count).astype(np.float64)


def _angles(boundary: DecisionBoundary, ends: Ints, degrees: Ints) -> Floats:
    """(J,): the angle between the two segments at joints of degree 2, else NaN."""
    order = np.argsort(ends.ravel(), kind="stable")
    first = (np.cumsum(degrees) - degrees)[degrees == 2]
    arriving, leaving = order[first], order[first + 1]
    # The normal is to the left; where a segment is walked against its direction, to the right.
    before = boundary.normals[arriving >> 1] * np.where(arriving & 1, 1, -1)[:, None]
    after = boundary.normals[leaving >> 1] * np.where(leaving & 1, -1, 1)[:, None]
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    angles = np.full(len(degrees), np.nan)
    angles[degrees == 2] = np.arctan2(np.abs(cross), (before * after).sum(axis=1))
    return angles


def boundary_distance(boundary: DecisionBoundary, points: ArrayLike) -> Floats:
    """Measure how far points are from a decision boundary, within the slice's plane.

    Parameters
    ----------
    boundary : DecisionBoundary
    points : array_like
        (n, 2), plane coordinates.

    Returns
    -------
    ndarray
        (n,) float64, the distance to the nearest point of the nearest segment, in units of the
        input space; infinite if there is no boundary. What is outside the slice's polygon does not
        count, though it may be nearer.

    Raises
    ------
    InvalidArgumentError
        If `points` are no such array of finite numbers.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.measures.curves import boundary_distance
    >>> model = torch.nn.Linear(2, 1)
    >>> with torch.no_grad():
    ...     _ = model.weight.copy_(torch.tensor([[3.0, 4.0]])), model.bias.zero_()
    >>> p = sc.compute_partition(model, sc.Slice.box((-1, 1), (-1, 1)))
    >>> boundary_distance(sc.decision_boundary(p), [(0.0, 0.5), (0.5, 0.0)]).round(9).tolist()
    [0.4, 0.3]
    """
    uv = as_float64("points", points, ("n", 2), InvalidArgumentError)
    distances = np.full(len(uv), np.inf)
    if len(boundary.segments):
        tree = shapely.STRtree(np.asarray(shapely.linestrings(boundary.segments)))
        which, found = tree.query_nearest(
            shapely.points(uv), return_distance=True, all_matches=False
        )
        distances[which[0]] = found
    return distances


class BoundarySamples(NamedTuple):
    """Points on a decision boundary; made by `sample_boundary`."""

    uv: Floats
    """(n, 2) float64, plane coordinates."""
    inputs: Floats
    """(n, *input_shape) float64, the points in input space."""
    segments: Ints
    """(n,) int64, the segment of each."""


def sample_boundary(boundary: DecisionBoundary, n: int, *, seed: int = 0) -> BoundarySamples:
    """Draw points on a decision boundary, spread evenly along its length.

    Parameters
    ----------
    boundary : DecisionBoundary
    n : int
        How many points.
    seed : int
        Seed of the draw, >= 0. The global random state is neither read nor set.

    Returns
    -------
    BoundarySamples

    Raises
    ------
    InvalidArgumentError
        If an argument is not of this kind, or there is no boundary to draw from.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.measures.curves import sample_boundary
    >>> model = torch.nn.Linear(2, 2)
    >>> with torch.no_grad():
    ...     _ = model.weight.copy_(torch.eye(2)), model.bias.zero_()
    >>> p = sc.compute_partition(model, sc.Slice.box((0, 1), (0, 1)))
    >>> samples = sample_boundary(sc.decision_boundary(p), 3)
    >>> bool(np.allclose(samples.inputs[:, 0], samples.inputs[:, 1]))
    True
    """
    for name, value in (("n", n), ("seed", seed)):
        if not isinstance(value, int | np.integer) or value < 0:
            raise InvalidArgumentError(f"{name} is {value!r}; accepted: an integer of 0 or more")
    if n and not len(boundary.segments):
        raise InvalidArgumentError(f"n is {n}, but the boundary has no points; accepted: 0")
    ends = np.cumsum(boundary.lengths)
    places = np.random.default_rng(seed).random(n) * (ends[-1] if len(ends) else 0.0)
    chosen = np.minimum(np.searchsorted(ends, places, side="right"), len(ends) - 1)
    shares = np.clip((ends[chosen] - places) / boundary.lengths[chosen], 0.0, 1.0)[:, None]
    start, stop = boundary.segments[chosen, 0], boundary.segments[chosen, 1]
    uv = shares * start + (1.0 - shares) * stop
    return BoundarySamples(uv, boundary.partition.slice.embed(uv), chosen.astype(np.int64))


def units_near_boundary(boundary: DecisionBoundary, radius: float) -> dict[str, NDArray[Any]]:
    """Find the units whose zero sets come near a decision boundary.

    Parameters
    ----------
    boundary : DecisionBoundary
    radius : float
        The distance, >= 0, up to which an edge is near, in units of the input space.

    Returns
    -------
    dict of str to ndarray
        One entry for each of n units, in execution order.

        ``"layer"``, ``"unit"`` : (n,) int64
            The layer, an index into `Partition.layer_names`, and the unit within it.
        ``"distance"`` : (n,) float64
            From the nearest edge across which the unit changes to the boundary, 0 to `radius`.

    Raises
    ------
    InvalidArgumentError
        If `radius` is no such number.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.measures.curves import units_near_boundary
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1))
    >>> with torch.no_grad():  # zero sets at u = 0 and u = 0.5; the output is 0 at u = 0.75
    ...     _ = model[0].weight.copy_(torch.tensor([[1.0, 0.0]] * 2)), model[2].weight.fill_(1.0)
    ...     _ = model[0].bias.copy_(torch.tensor([0.0, -0.5])), model[2].bias.fill_(-1.0)
    >>> p = sc.compute_partition(model, sc.Slice.box((-1, 1), (-1, 1)))
    >>> near = units_near_boundary(sc.decision_boundary(p), 0.5)
    >>> near["unit"].tolist(), near["distance"].tolist()
    ([1], [0.25])
    """
    reach = float(as_float64("radius", radius, (), InvalidArgumentError))
    if reach < 0:
        raise InvalidArgumentError(f"radius is {radius!r}; accepted: a number >= 0")
    partition = boundary.partition
    distances = np.full(partition.n_edges, np.inf)
    candidates = _edges_around(boundary, reach)
    if len(candidates):
        segments = np.asarray(shapely.linestrings(boundary.segments))
        edges = np.asarray(shapely.linestrings(partition.vertices[partition.edges[candidates]]))
        which, near = shapely.STRtree(segments).query(edges, "dwithin", reach)
        np.minimum.at(distances, candidates[which], shapely.distance(edges[which], segments[near]))
    flips = partition.edge_flips
    first_units = np.cumsum([0, *partition.layer_sizes])
    nearest = np.full(partition.n_units, np.inf)
    np.minimum.at(nearest, first_units[flips.layers] + flips.units, distances[flips.edges])
    units = np.flatnonzero(nearest <= reach)
    layers = np.searchsorted(first_units, units, side="right") - 1
    return {
        "layer": layers,
        "unit": units - first_units[layers],
        "distance": nearest[units],
    }


def _edges_around(boundary: DecisionBoundary, reach: float) -> NDArray[np.intp]:
    """Inner edges that may be near a boundary: their boxes meet a cell of a grid that it is near.

    Sums over the grid's cells from a corner tell how many of a box are marked.
    """
    partition = boundary.partition
    low, high = partition.slice.polygon.min(axis=0), partition.slice.polygon.max(axis=0)

    def cells(corners: Floats) -> Ints:
        places = (corners - low) * (CELLS / (high - low))
        return np.clip(places, 0, CELLS - 1).astype(np.int64)

    def boxes(segments: Floats, margin: float) -> tuple[Ints, Ints, Ints, Ints]:
        first, last = cells(segments.min(axis=1) - margin), cells(segments.max(axis=1) + margin)
        return first[:, 0], first[:, 1], last[:, 0] + 1, last[:, 1] + 1

    marks = np.zeros((CELLS + 1, CELLS + 1), np.int64)
    # What rounding puts into the next cell shall be near, too.
    margin = reach + 8 * np.spacing(np.abs(partition.slice.polygon).max() + reach)
    left, bottom, right, top = boxes(boundary.segments, margin)
    for u, v, sign in ((left, bottom, 1), (right, bottom, -1), (left, top, -1), (right, top, 1)):
        np.add.at(marks, (u, v), sign)
    is_near = marks.cumsum(axis=0).cumsum(axis=1)[:-1, :-1] > 0
    sums = np.pad(is_near.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    inner = np.flatnonzero(partition.edge_hinges >= 0)
    left, bottom, right, top = boxes(partition.vertices[partition.edges[inner]], 0.0)
    found = sums[right, top] - sums[left, top] - sums[right, bottom] + sums[left, bottom]
    return inner[found > 0]
