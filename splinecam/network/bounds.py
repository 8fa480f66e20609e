"""How far float64 values of hinges may be from the true ones, layer by layer.

Let p be the point of the plane that a stored vertex stands for, and q where it is stored. The value
that the engine has for hinge h there is within ``reach[h] |p - q| + noise[h]`` of the true value at
p. `reach` is a Lipschitz constant: the norm of the hinge's row times the spectral norms (bounded
from above) of all layers before. `noise` grows from layer to layer by the same factors, from the
rounding of coefficients and of the sums and interpolations that make the values.
"""

from __future__ import annotations

from math import hypot, isfinite

import numpy as np

from splinecam._kernels.arrays import Bounds
from splinecam._kernels.bounds import SAFETY, after_layer, bound_activations, bound_hinges
from splinecam._kernels.edges import FURTHEST
from splinecam.errors import InvalidModelError
from splinecam.network.planar import PlanarNetwork

UNIT_ROUNDOFF = 2.0**-53

OPERATIONS = 16
"""Roundings, per term of a sum, that a value is given: products, sums and interpolations."""

LARGE = 512
"""Matrices with more rows and columns get a bound of their norm that is cheap but looser."""


def coordinate_rounding(polygon: np.ndarray) -> float:
    """Error of computing one coordinate in a polygon (n, 2): roundings of its largest numbers."""
    us, vs = polygon.T.tolist()  # quicker than numpy on a few corners
    extent = hypot(max(us) - min(us), max(vs) - min(vs))
    return 16 * UNIT_ROUNDOFF * (extent + farthest(polygon))


def vertex_error(polygon: np.ndarray) -> float:
    """How far a stored vertex in a polygon (n, 2) may be from its true place.

    It is a few roundings but where lines are nearly parallel; there the engine places exactly what
    may be too far away.
    """
    return FURTHEST * coordinate_rounding(polygon)


def farthest(polygon: np.ndarray) -> float:
    """Norm of the points in a polygon (n, 2) at most."""
    us, vs = polygon.T.tolist()
    return hypot(max(max(us), -min(us)), max(max(vs), -min(vs)))


@np.errstate(over="ignore", invalid="ignore")
def network_bounds(network: PlanarNetwork, polygon: np.ndarray) -> list[Bounds]:
    """Bounds of each layer's hinges on a polygon (n, 2)."""
    bounds = []
    lipschitz, noise = 1.0, 0.0
    size = farthest(polygon)
    for number, layer in enumerate(network.layers):
        rounding = UNIT_ROUNDOFF * OPERATIONS * (layer.weight.shape[1] + 8)
        errors = (layer.weight_errors, layer.bias_errors)
        hinges, unit_noise = bound_hinges(
            *(layer.weight, layer.bias, layer.breakpoints, *errors),
            *(rounding, lipschitz, noise, size),
        )
        if not isfinite(hinges.reach.sum() + hinges.noise.sum()):
            raise InvalidModelError(
                "the weights are so large that pre-activations on the slice may overflow float64"
            )
        bounds.append(hinges)
        if number + 1 == len(network.layers):
            break
        steepest, offset = bound_activations(
            layer.bias, layer.breakpoints, layer.slopes, layer.anchors
        )
        norm = (spectral_bound(layer.weight) + _norm(layer.weight_errors)) * SAFETY
        lipschitz, noise, size = after_layer(norm, steepest, offset, unit_noise, lipschitz, size)
    return bounds


def _norm(array: np.ndarray) -> float:
    """Square root of the sum of squares."""
    return float(np.vdot(array, array)) ** 0.5


def spectral_bound(matrix: np.ndarray) -> float:
    """An upper bound of the largest singular value.

    For the symmetric G = M Mᵀ (or Mᵀ M) it is ‖G⁴‖_F^(1/8), a few percent too large: the eighth
    root of the sum of all sixteenth powers of singular values, under a second root. For large
    matrices it is √(‖M‖₁ ‖M‖_∞), which costs no matrix product.
    """
    if min(matrix.shape) > LARGE:
        magnitudes = np.abs(matrix)
        return float(np.sqrt(magnitudes.sum(axis=0).max() * magnitudes.sum(axis=1).max())) * SAFETY
    scale = _norm(matrix)
    if scale == 0:
        return 0.0
    scaled = matrix * (1 / scale)
    # Its eigenvalues sum up to 1: no power that matters underflows.
    gram = scaled @ scaled.T if len(scaled) <= scaled.shape[1] else scaled.T @ scaled
    square = gram @ gram
    return _norm(square @ square) ** 0.125 * scale * SAFETY
