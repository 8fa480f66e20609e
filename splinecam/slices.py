"""Slices: convex polygons in two-dimensional affine planes of a model's input space.

The point with plane coordinates (u, v) is the input ``origin + u * basis[0] + v * basis[1]``,
with the floats that the slice stores. Whether a polygon is convex is decided on its stored floats
too, in integer arithmetic without rounding: there is no tolerance, and a polygon of any size in
any place is judged alike.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splinecam.errors import InvalidArgumentError, InvalidSliceError, SplineCamError

Float64Array = NDArray[np.float64]

# The largest entry of |basis @ basis.T - 1| that still counts as orthonormal.
_GRAM_TOLERANCE = 1e-9

# The largest number that an argument may hold: squares and areas stay in the range of float64.
# (A numpy scalar: compared with it, float16 is widened.)
_LARGEST = np.float64(1e150)

# Three anchors are collinear below this height of their triangle over its longest side ...
_COLLINEAR_HEIGHT = 1e-12
# ... or below so many units of relative rounding of the dtype in which they came.
_COLLINEAR_ROUNDINGS = 4


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Slice:
    """A convex polygon in a two-dimensional affine plane of input space.

    Parameters
    ----------
    origin : (D,) array_like
        The input at plane coordinates (0, 0), flattened; D >= 2.
    basis : (2, D) array_like
        Two orthonormal directions (each entry of the Gram matrix right to 1e-9).
    polygon : (n, 2) array_like
        The corners of a strictly convex polygon in plane coordinates, in either direction of
        rotation; a clockwise polygon is stored counter-clockwise, from the same first corner.
    input_shape : tuple of int, optional
        The shape of one input, without the batch; its product is D. Default ``(D,)``.
    anchors : (k, 2) array_like, optional
        Plane coordinates of points to be marked in pictures; they may lie outside the polygon.

    Attributes
    ----------
    origin, basis, polygon, anchors : ndarray of float64
        Read-only copies of the arguments; `polygon` is counter-clockwise.
    input_shape : tuple of int
        The shape of one input, without the batch.
    area : float
        The polygon's area in plane coordinates, correctly rounded.

    Raises
    ------
    InvalidSliceError
        If an argument is not finite real numbers of the shape above, the directions are not
        orthonormal, or the polygon is not strictly convex. So that areas are float64 numbers,
        coordinates beyond 1e150 and areas below 2.3e-308 are refused as well.

    Notes
    -----
    Arrays may be numpy arrays, nested sequences or torch tensors of any device and real dtype.
    Slices are equal only to themselves.

    Examples
    --------
    >>> import numpy as np
    >>> from splinecam import Slice
    >>> sl = Slice(np.zeros(3), np.eye(3)[:2], [(0, 0), (2, 0), (0, 1)])
    >>> sl
    <Slice of R^3, input shape (3,): 3 corners in [0, 2] x [0, 1]>
    >>> sl.area
    1.0
    """

    origin: Float64Array
    basis: Float64Array
    polygon: Float64Array
    input_shape: tuple[int, ...]
    anchors: Float64Array
    area: float

    def __init__(
        self,
        origin: ArrayLike,
        basis: ArrayLike,
        polygon: ArrayLike,
        input_shape: tuple[int, ...] | None = None,
        *,
        anchors: ArrayLike | None = None,
    ):
        origin = as_float64("origin", origin, ("D",))
        _refuse_few_coordinates("origin", origin.size)
        basis = as_float64("basis", basis, (2, origin.size))
        _check_orthonormal(basis)
        polygon, area = _convex(as_float64("polygon", polygon, ("n", 2)))
        anchors = as_float64("anchors", np.empty((0, 2)) if anchors is None else anchors, ("k", 2))
        for array in (origin, basis, polygon, anchors):
            array.setflags(write=False)
        fields = {
            "origin": origin,
            "basis": basis,
            "polygon": polygon,
            "input_shape": _checked_shape(input_shape, origin.size),
            "anchors": anchors,
            "area": area,
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @classmethod
    def box(cls, xlim: ArrayLike, ylim: ArrayLike) -> Slice:
        """Make the slice of a model with two inputs: a box of its input space.

        Parameters
        ----------
        xlim, ylim : (2,) array_like
            The lower and the upper limit of the first and the second input.

        Examples
        --------
        >>> from splinecam import Slice
        >>> Slice.box((-1, 1), (0, 3)).area
        6.0
        """
        return cls(np.zeros(2), np.eye(2), _box(xlim, ylim))

    @classmethod
    def through(cls, points: ArrayLike, *, pad: float = 0.1, seed: int = 0) -> Slice:
        """Make a slice through one, two or three inputs: a square that holds them, with padding.

        The origin is the points' mean. The first direction runs from the first point to the
        second, and a third point lies on the side of the second direction. Directions that the
        points leave open are drawn at random, uniformly among those orthogonal to the others.

        Parameters
        ----------
        points : (k, *input_shape) array_like
            The inputs to go through, k = 1, 2 or 3.
        pad : float, optional
            For two or three points the padding relative to their extent: the half-width of the
            square is ``(1 + pad)`` times half of the larger extent of the points in plane
            coordinates, pad >= 0. For one point, which has no extent, `pad` is the half-width
            itself, in units of the input, pad > 0.
        seed : int, optional
            Seed of the random directions, >= 0. The global random state is neither read nor set.

        Raises
        ------
        InvalidSliceError
            If `points` are not one to three different points of two or more finite real
            coordinates, or are three on a line: the height of their triangle is below 1e-12, or
            below 4 roundings of the dtype that came (5e-7 for float32), of its longest side.

        Examples
        --------
        >>> import numpy as np
        >>> from splinecam import Slice
        >>> images = np.stack([np.zeros((8, 8)), np.ones((8, 8)), np.eye(8)])
        >>> sl = Slice.through(images, pad=0)
        >>> sl
        <Slice of R^64, input shape (8, 8): 4 corners in [-3, 5] x [-3.56, 4.44]>
        >>> np.allclose(sl.embed(sl.anchors), images)
        True
        """
        given = _real_array("points", points)
        if given.ndim < 2 or given.shape[0] not in (1, 2, 3):
            raise InvalidSliceError(
                f"points has shape {given.shape}; accepted: (k, *input_shape) with k = 1, 2 or 3"
            )
        flat = given.reshape(given.shape[0], -1).astype(np.float64)
        _refuse_few_coordinates("points", flat.shape[1])
        _refuse_repeated("points", "point", flat)
        rounding = np.finfo(given.dtype).eps if given.dtype.kind == "f" else 0.0
        resolution = max(_COLLINEAR_HEIGHT, _COLLINEAR_ROUNDINGS * float(rounding))
        basis = _plane_directions(flat, resolution, _checked_integer("seed", seed, minimum=0))
        origin = flat.mean(axis=0)
        anchors = (flat - origin) @ basis.T
        return cls(
            origin,
            basis,
            _square_around(anchors, pad),
            given.shape[1:],
            anchors=anchors,
        )

    @classmethod
    def axes(
        cls,
        i: int | tuple[int, ...],
        j: int | tuple[int, ...],
        *,
        at: ArrayLike,
        xlim: ArrayLike,
        ylim: ArrayLike,
    ) -> Slice:
        """Make the slice on which two input coordinates vary and the others stay.

        Plane coordinates are the two input coordinates themselves: the origin is `at` with both
        set to zero.

        Parameters
        ----------
        i, j : int or tuple of int
            The coordinates that vary: flat indices, or index tuples into the input's shape.
        at : (*input_shape) array_like
            The input that gives all other coordinates.
        xlim, ylim : (2,) array_like
            The lower and the upper limit of the coordinates `i` and `j`.

        Examples
        --------
        >>> import numpy as np
        >>> from splinecam import Slice
        >>> sl = Slice.axes((0, 1), (1, 1), at=np.full((2, 2), 7.0), xlim=(0, 1), ylim=(0, 1))
        >>> sl.embed([(0.25, 0.5)])
        array([[[7.  , 0.25],
                [7.  , 0.5 ]]])
        """
        at = _real_array("at", at)
        _refuse_few_coordinates("at", at.size)
        varying = [_flat_index("i", i, at.shape), _flat_index("j", j, at.shape)]
        if varying[0] == varying[1]:
            raise InvalidSliceError(
                f"i = {i!r} and j = {j!r} are the same coordinate; accepted: two different ones"
            )
        origin = at.astype(np.float64).ravel()
        origin[varying] = 0.0
        basis = np.zeros((2, at.size))
        basis[[0, 1], varying] = 1.0
        return cls(origin, basis, _box(xlim, ylim), at.shape)

    def with_polygon(self, polygon: ArrayLike) -> Slice:
        """Return the slice in the same plane with another polygon, (n, 2) in plane coordinates.

        Examples
        --------
        >>> from splinecam import Slice
        >>> Slice.box((-1, 1), (-1, 1)).with_polygon([(0, 0), (1, 0), (0, 1)]).area
        0.5
        """
        return Slice(self.origin, self.basis, polygon, self.input_shape, anchors=self.anchors)

    def with_box(self, xlim: ArrayLike, ylim: ArrayLike) -> Slice:
        """Return the slice in the same plane with a box as polygon.

        Parameters
        ----------
        xlim, ylim : (2,) array_like
            The lower and the upper limit of the first and the second plane coordinate.

        Examples
        --------
        >>> from splinecam import Slice
        >>> Slice.through([[0.0, 0.0, 0.0]]).with_box((-2, 2), (-1, 1)).area
        8.0
        """
        return self.with_polygon(_box(xlim, ylim))

    def with_regular_polygon(
        self, n: int, radius: float, *, center: ArrayLike = (0.0, 0.0)
    ) -> Slice:
        """Return the slice in the same plane with a regular polygon.

        Parameters
        ----------
        n : int
            How many corners, >= 3.
        radius : float
            Distance of the corners from the centre, > 0. The first one is at
            ``center + (radius, 0)``.
        center : (2,) array_like, optional
            The centre in plane coordinates.

        Raises
        ------
        InvalidSliceError
            If an argument is not of this kind, or float64 cannot hold so small a polygon so far
            from the plane's origin as a convex one.

        Examples
        --------
        >>> from splinecam import Slice
        >>> round(Slice.box((-1, 1), (-1, 1)).with_regular_polygon(6, 2.0).area, 4)
        10.3923
        """
        corners = _checked_integer("n", n, minimum=3)
        length = as_float64("radius", radius, ())
        if length <= 0:
            raise InvalidSliceError(f"radius is {radius!r}; accepted: a number > 0")
        angles = 2 * np.pi * np.arange(corners) / corners
        unit = np.column_stack((np.cos(angles), np.sin(angles)))
        return self.with_polygon(as_float64("center", center, (2,)) + length * unit)

    def with_hull(self, uv: ArrayLike) -> Slice:
        """Return the slice in the same plane with the convex hull of points as polygon.

        Parameters
        ----------
        uv : (n, 2) array_like
            Points in plane coordinates, not all on one line.

        Examples
        --------
        >>> from splinecam import Slice
        >>> sl = Slice.box((-1, 1), (-1, 1)).with_hull([(0, 0), (2, 0), (1, 0), (0, 2)])
        >>> len(sl.polygon), sl.area
        (3, 2.0)
        """
        points = as_float64("uv", uv, ("n", 2))
        corners = _hull_corners(points)
        if len(corners) < 3:
            raise InvalidSliceError(
                "uv: the hull has zero area; accepted: points that are not all on one line"
            )
        return self.with_polygon(points[corners])

    @property
    def dim(self) -> int:
        """D, the dimension of the input space."""
        return self.origin.size

    def embed(self, uv: ArrayLike) -> Float64Array:
        """Return the inputs at plane coordinates: ``origin + uv @ basis``.

        Parameters
        ----------
        uv : (n, 2) array_like
            Plane coordinates, inside the polygon or not.

        Returns
        -------
        (n, *input_shape) ndarray of float64

        Raises
        ------
        InvalidArgumentError
            If `uv` is not an array of finite real numbers of this shape.

        Examples
        --------
        >>> from splinecam import Slice
        >>> Slice.box((-1, 1), (-1, 1)).embed([(0.5, -0.5)])
        array([[ 0.5, -0.5]])
        """
        uv = as_float64("uv", uv, ("n", 2), InvalidArgumentError)
        return (self.origin + uv @ self.basis).reshape(-1, *self.input_shape)

    def project(self, x: ArrayLike) -> Float64Array:
        """Return the plane coordinates of the inputs' orthogonal projections onto the plane.

        Parameters
        ----------
        x : (n, *input_shape) array_like
            Inputs, on the plane or not.

        Returns
        -------
        (n, 2) ndarray of float64

        Raises
        ------
        InvalidArgumentError
            If `x` is not an array of finite real numbers of this shape.

        Examples
        --------
        >>> import numpy as np
        >>> from splinecam import Slice
        >>> sl = Slice.axes(0, 2, at=np.zeros(3), xlim=(-1, 1), ylim=(-1, 1))
        >>> sl.project([(1.0, 2.0, 3.0)])
        array([[1., 3.]])
        """
        x = as_float64("x", x, ("n", *self.input_shape), InvalidArgumentError)
        components = (x.reshape(len(x), self.dim) - self.origin) @ self.basis.T
        # The directions may be orthonormal to 1e-9 only; the Gram matrix makes up for that.
        coordinates = np.linalg.solve(self.basis @ self.basis.T, components.T).T
        return np.ascontiguousarray(coordinates, dtype=np.float64)

    def __repr__(self) -> str:
        """Show the dimension, the input shape and the polygon's bounds."""
        (left, low), (right, high) = self.polygon.min(axis=0), self.polygon.max(axis=0)
        return (
            f"<Slice of R^{self.dim}, input shape {self.input_shape}: {len(self.polygon)} corners"
            f" in [{left:.3g}, {right:.3g}] x [{low:.3g}, {high:.3g}]>"
        )


def as_float64(
    name: str,
    values: ArrayLike,
    shape: tuple[int | str, ...],
    error: type[SplineCamError] = InvalidSliceError,
) -> Float64Array:
    """Copy an argument to a float64 array of finite numbers, or refuse it.

    Parameters
    ----------
    name : str
        The argument's name, for the messages.
    values : array_like
        Real numbers: a numpy array, a nested sequence or a torch tensor.
    shape : tuple of int or str
        The shape to accept; a letter such as ``"n"`` stands for any length.
    error : type, optional
        The exception to raise.
    """
    array = _real_array(name, values, error)
    matches = array.ndim == len(shape) and all(
        isinstance(accepted, str) or length == accepted
        for length, accepted in zip(array.shape, shape, strict=True)
    )
    if not matches:
        accepted = str(shape).replace("'", "")
        raise error(f"{name} has shape {array.shape}; accepted: {accepted}")
    return array.astype(np.float64, order="C")


def _real_array(
    name: str, values: ArrayLike, error: type[SplineCamError] = InvalidSliceError
) -> NDArray[Any]:
    """Return finite real numbers as an array of the dtype in which they came, or refuse them."""
    try:
        array = _as_array(values)
    except (TypeError, ValueError, RuntimeError) as cause:
        raise error(f"{name} is not an array of numbers: {cause}") from cause
    if array.dtype.kind not in "iuf" or not np.can_cast(array.dtype, np.float64):
        raise error(f"{name} has dtype {array.dtype}; accepted: integers or floats up to 64 bits")
    refused = array[~(np.abs(array) <= _LARGEST)]
    if refused.size:
        raise error(
            f"{name} holds {refused[0]:g}; accepted: finite numbers (no NaN) up to {_LARGEST:g}"
        )
    return array


def _as_array(values: Any) -> NDArray[Any]:
    """Convert arrays, nested sequences and torch tensors (which are known by `detach`)."""
    if isinstance(values, list | tuple):
        values = [_as_array(value) for value in values]
    elif hasattr(values, "detach"):
        values = values.detach().cpu()
        # numpy has no bfloat16 and no float8; float32 holds all of their values.
        if values.is_floating_point() and values.element_size() < 4:
            values = values.float()
    return np.asarray(values)


def _checked_integer(name: str, value: int, *, minimum: int) -> int:
    try:
        integer = operator.index(value)
    except TypeError:
        integer = minimum - 1
    if integer < minimum:
        raise InvalidSliceError(f"{name} is {value!r}; accepted: an integer >= {minimum}")
    return integer


def _checked_shape(input_shape: tuple[int, ...] | None, dim: int) -> tuple[int, ...]:
    if input_shape is None:
        return (dim,)
    try:
        shape = tuple(operator.index(length) for length in input_shape)
    except TypeError:
        shape = ()
    if math.prod(shape) != dim or min(shape, default=0) < 1:
        raise InvalidSliceError(
            f"input_shape is {input_shape!r}; accepted: a tuple of positive integers"
            f" whose product is D = {dim}"
        )
    return shape


def _flat_index(name: str, index: int | tuple[int, ...], shape: tuple[int, ...]) -> int:
    size = math.prod(shape)
    try:
        flat = operator.index(
            np.ravel_multi_index(index, shape) if isinstance(index, tuple) else index
        )
    except (TypeError, ValueError):
        flat = -1
    if not 0 <= flat < size:
        raise InvalidSliceError(
            f"{name} is {index!r}; accepted: a flat index from 0 to {size - 1}"
            f" or an index tuple into the shape {shape}"
        )
    return flat


def _refuse_few_coordinates(name: str, dim: int) -> None:
    if dim < 2:
        raise InvalidSliceError(
            f"{name}: the input space has D = {dim} coordinates; accepted: D >= 2"
        )


def _refuse_repeated(name: str, kind: str, points: Float64Array) -> None:
    first: dict[tuple[float, ...], int] = {}
    for index, point in enumerate(points.tolist()):
        earlier = first.setdefault(tuple(point), index)
        if earlier != index:
            raise InvalidSliceError(f"{name}: {kind} {earlier} and {kind} {index} are the same")


def _check_orthonormal(basis: Float64Array) -> None:
    deviation = np.abs(basis @ basis.T - np.eye(2)).max()
    if not deviation <= _GRAM_TOLERANCE:
        raise InvalidSliceError(
            f"basis is not orthonormal: basis @ basis.T differs from the identity by"
            f" {deviation:.3g}; accepted: at most {_GRAM_TOLERANCE:g}"
        )


def _plane_directions(points: Float64Array, resolution: float, seed: int) -> Float64Array:
    """Return orthonormal directions, (2, D): along the points' plane, random where they leave it.

    Three points are refused as collinear if the height of their triangle is at most `resolution`
    of its longest side.
    """
    directions = np.random.default_rng(seed).standard_normal((2, points.shape[1]))
    differences = points[1:] - points[0]
    if len(differences):
        directions[: len(differences)] = differences / np.abs(differences).max()
    # QR with a positive diagonal of R is Gram-Schmidt without its loss of orthogonality.
    q, r = np.linalg.qr(directions.T)
    lengths = np.diag(r)
    if len(points) == 3:
        sides = (directions[0], directions[1], directions[1] - directions[0])
        longest = max(float(np.linalg.norm(side)) for side in sides)
        height = abs(lengths.prod()) / longest
        if height <= resolution * longest:
            raise InvalidSliceError(
                f"points are collinear: their triangle is {height / longest:.3g} times as high as"
                f" long; accepted: more than {resolution:.3g}"
            )
    return (q * np.copysign(1.0, lengths)).T


def _square_around(anchors: Float64Array, pad: float) -> Float64Array:
    """Return the corners of the square of `Slice.through`, from plane coordinates."""
    alone = len(anchors) == 1
    padding = float(as_float64("pad", pad, ()))
    if padding < 0 or (alone and padding == 0):
        accepted = "a number > 0 for one point" if alone else "a number >= 0"
        raise InvalidSliceError(f"pad is {pad!r}; accepted: {accepted}")
    low, high = anchors.min(axis=0), anchors.max(axis=0)
    half = padding if alone else (1 + padding) * (high - low).max() / 2
    centre = (low + high) / 2
    xlim, ylim = np.column_stack((centre - half, centre + half))
    return _box(xlim, ylim)


def _box(xlim: ArrayLike, ylim: ArrayLike) -> Float64Array:
    """Return the corners, (4, 2), of the box between two pairs of limits."""
    left, right = _limits("xlim", xlim)
    low, high = _limits("ylim", ylim)
    return np.array([(left, low), (right, low), (right, high), (left, high)])


def _limits(name: str, limits: ArrayLike) -> tuple[float, float]:
    lower, upper = as_float64(name, limits, (2,)).tolist()
    if lower >= upper:
        raise InvalidSliceError(f"{name} is ({lower:g}, {upper:g}); accepted: lower < upper")
    return lower, upper


def _convex(polygon: Float64Array) -> tuple[Float64Array, float]:
    """Return a strictly convex polygon counter-clockwise, and its area; refuse any other.

    A closed polygon is convex iff it turns strictly to the same side at all vertices and goes
    round once (a pentagram goes round twice): then it climbs from a lowest vertex only once.
    """
    n = len(polygon)
    if n < 3:
        raise InvalidSliceError(f"polygon has {n} vertices; accepted: at least 3")
    _refuse_repeated("polygon", "vertex", polygon)
    points, scale = _as_integers(polygon)
    turns = [_turn(points[i - 1], points[i], points[(i + 1) % n]) for i in range(n)]
    _check_turns(turns)
    climbs = [a[::-1] < b[::-1] for a, b in pairwise([points[-1], *points])]
    rounds = sum(after > before for before, after in pairwise([climbs[-1], *climbs]))
    if rounds > 1:
        raise InvalidSliceError(f"polygon crosses itself: it goes round {rounds} times")
    doubled = sum(_turn(points[0], a, b) for a, b in pairwise(points))
    area = float(Fraction(abs(doubled), 2 * scale**2))
    if area < sys.float_info.min:
        raise InvalidSliceError(f"polygon: the area {area:.3g} is too small for float64")
    return (polygon if doubled > 0 else np.roll(polygon[::-1], 1, axis=0)), area


def _check_turns(turns: list[int]) -> None:
    """Refuse a polygon that does not turn strictly to the same side at all vertices."""
    if not any(turns):
        raise InvalidSliceError("polygon has zero area: its vertices are on one line")
    if 0 in turns:
        raise InvalidSliceError(
            f"polygon: vertex {turns.index(0)} lies on the line through its two neighbours;"
            " accepted: corners only"
        )
    sides = [turn > 0 for turn in turns]
    if len(set(sides)) > 1:
        raise InvalidSliceError(
            f"polygon is not convex: it turns left at vertex {sides.index(True)}"
            f" and right at vertex {sides.index(False)}"
        )


def _hull_corners(points: Float64Array) -> list[int]:
    """Return which points are the corners of their convex hull, counter-clockwise.

    Andrew's monotone chain (A. M. Andrew, Information Processing Letters 9, 1979), in integers:
    the libraries' hulls lose corners when the coordinates' exponents differ much.
    """
    exact, _ = _as_integers(points)

    def chain(order: Iterable[int]) -> list[int]:
        kept: list[int] = []
        for i in order:
            while len(kept) > 1 and _turn(exact[kept[-2]], exact[kept[-1]], exact[i]) <= 0:
                kept.pop()
            kept.append(i)
        return kept[:-1]

    order = sorted(range(len(exact)), key=exact.__getitem__)
    return chain(order) + chain(reversed(order))


def _as_integers(points: Float64Array) -> tuple[list[tuple[int, int]], int]:
    """Multiply points by a power of two, returned too, that makes all coordinates integers."""
    ratios = [coordinate.as_integer_ratio() for coordinate in points.ravel().tolist()]
    scale = max((denominator for _, denominator in ratios), default=1)
    integers = [numerator * (scale // denominator) for numerator, denominator in ratios]
    return list(zip(integers[::2], integers[1::2], strict=True)), scale


def _turn(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> int:
    """Return twice the signed area of a triangle: > 0 iff a path over a, b, c turns left."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
