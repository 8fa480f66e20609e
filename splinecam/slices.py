"""Slices: convex polygons in two-dimensional affine planes of a model's input space.

The point with plane coordinates (u, v) is the input ``origin + u * basis[0] + v * basis[1]``,
with the floats that the slice stores. Whether a polygon is convex is decided on its stored floats
too, without rounding: there is no tolerance, and a polygon of any size in any place is judged
alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from splinecam.common.arguments import (
    as_float64,
    check_integer,
    checked_shape,
    flat_index,
    real_array,
    refuse_few_coordinates,
    refuse_repeated,
)
from splinecam.common.planes import check_orthonormal, plane_directions
from splinecam.common.polygons import (
    box_corners,
    checked_polygon,
    hull_corners,
    regular_corners,
    square_around,
)
from splinecam.common.types import Floats
from splinecam.errors import InvalidArgumentError, InvalidSliceError


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

    origin: Floats
    basis: Floats
    polygon: Floats
    input_shape: tuple[int, ...]
    anchors: Floats
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
        refuse_few_coordinates("origin", origin.size)
        basis = as_float64("basis", basis, (2, origin.size))
        check_orthonormal(basis)
        polygon, area = checked_polygon(polygon)
        anchors = as_float64("anchors", np.empty((0, 2)) if anchors is None else anchors, ("k", 2))
        for array in (origin, basis, polygon, anchors):
            array.setflags(write=False)
        fields = {
            "origin": origin,
            "basis": basis,
            "polygon": polygon,
            "input_shape": checked_shape(input_shape, origin.size),
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
        return cls(np.zeros(2), np.eye(2), box_corners(xlim, ylim))

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
        given = real_array("points", points)
        if given.ndim < 2 or given.shape[0] not in (1, 2, 3):
            raise InvalidSliceError(
                f"points has shape {given.shape}; accepted: (k, *input_shape) with k = 1, 2 or 3"
            )
        flat = given.reshape(given.shape[0], -1).astype(np.float64)
        refuse_few_coordinates("points", flat.shape[1])
        refuse_repeated("points", "point", flat)
        rounding = float(np.finfo(given.dtype).eps) if given.dtype.kind == "f" else 0.0
        basis = plane_directions(
            flat, rounding, check_integer("seed", seed, 0, error=InvalidSliceError)
        )
        origin = flat.mean(axis=0)
        anchors = (flat - origin) @ basis.T
        polygon = square_around(anchors, pad)
        return cls(origin, basis, polygon, given.shape[1:], anchors=anchors)

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
        at = real_array("at", at)
        refuse_few_coordinates("at", at.size)
        varying = [flat_index("i", i, at.shape), flat_index("j", j, at.shape)]
        if varying[0] == varying[1]:
            raise InvalidSliceError(
                f"i = {i!r} and j = {j!r} are the same coordinate; accepted: two different ones"
            )
        origin = at.astype(np.float64).ravel()
        origin[varying] = 0.0
        basis = np.zeros((2, at.size))
        basis[[0, 1], varying] = 1.0
        return cls(origin, basis, box_corners(xlim, ylim), at.shape)

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
        return self.with_polygon(box_corners(xlim, ylim))

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
        return self.with_polygon(regular_corners(n, radius, center))

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
        return self.with_polygon(hull_corners(uv))

    @property
    def dim(self) -> int:
        """D, the dimension of the input space."""
        return self.origin.size

    def embed(self, uv: ArrayLike) -> Floats:
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

    def project(self, x: ArrayLike) -> Floats:
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


def check_slice(slice_: Any) -> None:
    """Refuse what is no slice."""
    if not isinstance(slice_, Slice):
        raise InvalidArgumentError(f"slice_ is a {type(slice_).__name__}; accepted: a Slice")
