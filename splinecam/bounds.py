"""How far float64 values of hinges may be from the true ones, layer by layer.

Let p be the point of the plane that a stored vertex stands for, and q where it is stored. The value
that the engine has for hinge h there is within ``reach[h] |p - q| + noise[h]`` of the true value at
p. `reach` is a Lipschitz constant: the norm of the hinge's row times the spectral norms (bounded
from above) of all layers before. `noise` grows from layer to layer by the same factors, from the
rounding of coefficients and of the sums and interpolations that make the values.
"""

from __future__ import annotations

import numpy as np

from splinecam._kernels.arrays import Bounds
from splinecam._kernels.edges import FURTHEST
from splinecam.errors import InvalidModelError
from splinecam.planar import PlanarNetwork

UNIT_ROUNDOFF = 2.0**-53

OPERATIONS = 16
"""Roundings, per term of a sum, that a value is given: products, sums and interpolations."""

LARGE = 512
"""Matrices with more rows and columns get a bound of their norm that is cheap but looser."""

SAFETY = 1 + 1e-9
"""Covers the rounding of the bounds themselves."""


def coordinate_rounding(polygon: np.ndarray) -> float:
    """Error of computing one coordinate in a polygon (n, 2): roundings of its largest numbers."""
    extent = np.linalg.norm(np.ptp(polygon, axis=0))
    return float(16 * UNIT_ROUNDOFF * (extent + np.linalg.norm(np.abs(polygon).max(axis=0))))


def vertex_error(polygon: np.ndarray) -> float:
    """How far a stored vertex in a polygon (n, 2) may be from its true place.

    It is a few roundings but where lines are nearly parallel; there the engine places exactly what
    may be too far away.
    """
    return FURTHEST * coordinate_rounding(polygon)


def network_bounds(network: PlanarNetwork, polygon: np.ndarray) -> list[Bounds]:
    """Bounds of each layer's hinges on a polygon (n, 2)."""
    with np.errstate(over="ignore", invalid="ignore"):
        bounds = _grown(network, polygon)
    if not all(np.isfinite(b.reach).all() and np.isfinite(b.noise).all() for b in bounds):
        raise InvalidModelError(
            "the weights are so large that pre-activations on the slice may overflow float64"
        )
    return bounds


def _grown(network: PlanarNetwork, polygon: np.ndarray) -> list[Bounds]:
    bounds = []
    lipschitz, noise = 1.0, 0.0
    size = _norm(np.abs(polygon).max(axis=0))
    for number, layer in enumerate(network.layers):
        norms = np.sqrt(np.einsum("ij,ij->i", layer.weight, layer.weight)) * SAFETY
        rounding = UNIT_ROUNDOFF * OPERATIONS * (layer.weight.shape[1] + 8)
        unit_noise = norms * (noise + rounding * size) + rounding * np.abs(layer.bias)
        unit_noise += layer.weight_errors * (size + noise) + layer.bias_errors
        hinge_noise = unit_noise[:, None] + rounding * np.abs(layer.breakpoints)
        hinge_reach = np.repeat(norms * (lipschitz * SAFETY), layer.n_breakpoints)
        bounds.append(Bounds(hinge_reach, hinge_noise.ravel() * SAFETY))
        if number + 1 == len(network.layers):
            break
        slopes, anchors, breakpoints = (
            np.abs(table) for table in (layer.slopes, layer.anchors, layer.breakpoints)
        )
        steepest = float(slopes.max())
        norm = (spectral_bound(layer.weight) + _norm(layer.weight_errors)) * SAFETY
        # Activations where all pre-activations vanish: at most this each.
        at_zero = float(anchors.max()) + steepest * float(breakpoints.max())
        offset = steepest * _norm(layer.bias) + at_zero * layer.n_units**0.5
        lipschitz *= norm * steepest
        noise = _norm(unit_noise) * steepest * SAFETY
        size = (norm * size * steepest + offset) * SAFETY
    return bounds


def _norm(vector: np.ndarray) -> float:
    return float(np.sqrt(vector @ vector))


def spectral_bound(matrix: np.ndarray) -> float:
    """An upper bound of the largest singular value.

    For the symmetric G = M Mᵀ (or Mᵀ M) it is ‖G⁴‖_F^(1/8), a few percent too large: the eighth
    root of the sum of all sixteenth powers of singular values, under a second root. For large
    matrices it is √(‖M‖₁ ‖M‖_∞), which costs no matrix product.
    """
    if min(matrix.shape) > LARGE:
        magnitudes = np.abs(matrix)
        return float(np.sqrt(magnitudes.sum(axis=0).max() * magnitudes.sum(axis=1).max())) * SAFETY
    gram = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
    scale = float(np.abs(gram).max(initial=0.0))
    if scale == 0:
        return 0.0
    square = (gram / scale) @ (gram / scale)
    second = float(np.abs(square).max())
    fourth = (square / second) @ (square / second)
    return float(np.linalg.norm(fourth)) ** 0.125 * second**0.25 * scale**0.5 * SAFETY
