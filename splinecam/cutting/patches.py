"""Convex polygons in the plane whose corners are known without rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from splinecam._kernels.arrays import Mesh
from splinecam.exact import Point, Row, line_through, point_at
from splinecam.network.bounds import coordinate_rounding


@dataclass(frozen=True, eq=False)
class Patch:
    """A part of the slice, or all of it.

    Parameters
    ----------
    points : tuple of Point
        The corners, counter-clockwise. Some may be in the middle of a side: neighbouring patches
        have a corner there.
    """

    points: tuple[Point, ...]

    @classmethod
    def of_polygon(cls, polygon: NDArray[np.float64]) -> Patch:
        """The patch with these corners (n, 2)."""
        return cls(tuple(point_at(*corner) for corner in polygon.tolist()))

    @cached_property
    def corners(self) -> NDArray[np.float64]:
        """(n, 2) float64: the corners, rounded."""
        return np.array([(x / w, y / w) for x, y, w in self.points])

    @cached_property
    def sides(self) -> Sequence[Row]:
        """The lines of the sides, positive inside; side i begins at corner i."""
        return [line_through(p, q) for p, q in pairwise([*self.points, self.points[0]])]

    @property
    def rounding(self) -> float:
        """Error of computing one coordinate in the patch at most."""
        return coordinate_rounding(self.corners)

    def mesh(self) -> Mesh:
        """The subdivision that has one face."""
        n = len(self.points)
        corners = np.arange(n, dtype=np.int32)
        edges = np.stack([corners, corners + np.int32(1)], axis=1)
        edges[-1, 1] = 0
        edge_faces = np.zeros((n, 2), np.int32)
        edge_faces[:, 1] = -1
        are_floats = [point_at(*xy) == p for xy, p in zip(self.corners, self.points, strict=True)]
        radii = np.where(are_floats, 0.0, self.rounding)
        return Mesh(
            vertices=self.corners.copy(),
            edges=edges,
            edge_faces=edge_faces,
            edge_labels=-1 - corners,
            radii=radii,
            widths=np.maximum(radii, np.roll(radii, -1)),
            face_offsets=np.array([0, n], np.int32),
            face_halfedges=2 * corners,
        )
