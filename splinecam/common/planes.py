"""Planes in input space: pairs of orthonormal directions."""

from __future__ import annotations

import numpy as np

from splinecam.common.types import Floats
from splinecam.errors import InvalidSliceError

GRAM_TOLERANCE = 1e-9
"""The largest entry of |basis @ basis.T - 1| that still counts as orthonormal."""

COLLINEAR_HEIGHT = 1e-12
"""Three points are collinear up to this height of their triangle over its longest side ..."""

COLLINEAR_ROUNDINGS = 4
"""... or up to so many units of relative rounding of the dtype in which they came."""


def check_orthonormal(basis: Floats) -> None:
    """Refuse a basis (2, D) whose directions are not orthonormal."""
    deviation = np.abs(basis @ basis.T - np.eye(2)).max()
    if not deviation <= GRAM_TOLERANCE:
        raise InvalidSliceError(
            f"basis is not orthonormal: basis @ basis.T differs from the identity by"
            f" {deviation:.3g}; accepted: at most {GRAM_TOLERANCE:g}"
        )


def plane_directions(points: Floats, rounding: float, seed: int) -> Floats:
    """Return orthonormal directions, (2, D): along the points' plane, random where they leave it.

    Three points are refused if they are collinear to the relative `rounding` that they came with.
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
        slimness = abs(lengths.prod()) / longest**2
        resolution = max(COLLINEAR_HEIGHT, COLLINEAR_ROUNDINGS * rounding)
        if slimness <= resolution:
            raise InvalidSliceError(
                f"points are collinear: their triangle is {slimness:.3g} times as high as long;"
                f" accepted: more than {resolution:.3g}"
            )
    # Reflections leave roundings in coordinates that do not vary, such as black margins of
    # pictures; there they would be slopes of units that are constant.
    q[~directions.any(axis=0)] = 0.0
    return (q * np.copysign(1.0, lengths)).T
