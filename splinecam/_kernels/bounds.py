"""Bounds of what rounding does to the values of one layer's hinges."""

from __future__ import annotations

import numpy as np
from numba import njit
from numba.extending import register_jitable

from splinecam._kernels.arrays import BORROWING, JIT, Bounds

SAFETY = 1 + 1e-9
"""Covers the rounding of the bounds themselves."""


@njit(**JIT, fastmath={"reassoc", "contract"})
def bound_hinges(
    weight, bias, breakpoints, weight_errors, bias_errors, rounding, lipschitz, noise, size
):
    """Bounds of a layer's hinges, and the norm of the errors of its units' pre-activations.

    Parameters
    ----------
    weight, bias, breakpoints, weight_errors, bias_errors
        Of the `splinecam.network.planar.Layer`.
    rounding : float
        Relative error of a sum over a row of `weight`.
    lipschitz, noise, size : float
        Of the layer's input, at most: Lipschitz constant, error, and norm.
    """
    n_units, n_inputs = weight.shape
    n_breakpoints = breakpoints.shape[1]
    reach = np.empty(n_units * n_breakpoints)
    hinge_noise = np.empty(n_units * n_breakpoints)
    squared_noise = 0.0
    for i in range(n_units):
        squared = 0.0
        for k in range(n_inputs):
            squared += weight[i, k] * weight[i, k]
        norm = np.sqrt(squared) * SAFETY
        unit_noise = norm * (noise + rounding * size) + rounding * abs(bias[i])
        # Tables of one row stand for all units.
        unit_noise += weight_errors[i % weight_errors.shape[0]] * (size + noise)
        unit_noise += bias_errors[i % bias_errors.shape[0]]
        squared_noise += unit_noise * unit_noise
        for j in range(n_breakpoints):
            breakpoint = breakpoints[i % breakpoints.shape[0], j]
            reach[i * n_breakpoints + j] = norm * lipschitz * SAFETY
            noise_here = unit_noise + rounding * abs(breakpoint)
            hinge_noise[i * n_breakpoints + j] = noise_here * SAFETY
    return Bounds(reach, hinge_noise), np.sqrt(squared_noise)


@njit(**JIT)
def bound_activations(bias, breakpoints, slopes, anchors):
    """Largest slope of a layer's functions; norm of their values where weights vanish, at most."""
    steepest = 0.0
    for i in range(slopes.shape[0]):
        for j in range(slopes.shape[1]):
            steepest = max(steepest, abs(slopes[i, j]))
    last = 0.0
    for i in range(breakpoints.shape[0]):
        for j in range(breakpoints.shape[1]):
            last = max(last, abs(breakpoints[i, j]))
    highest = 0.0
    for i in range(anchors.shape[0]):
        highest = max(highest, abs(anchors[i]))
    squared_bias = 0.0
    for i in range(bias.shape[0]):
        squared_bias += bias[i] * bias[i]
    # Where all pre-activations vanish, no value is greater than this.
    at_zero = highest + steepest * last
    return steepest, steepest * np.sqrt(squared_bias) + at_zero * np.sqrt(bias.shape[0])


@register_jitable
def after_layer(norm, steepest, offset, unit_noise, lipschitz, size):
    """Lipschitz constant, error and norm of a layer's activations, from those of its input.

    `norm` is that of its matrix, `unit_noise` of its pre-activations' errors; `steepest` and
    `offset` are those of `bound_activations`.
    """
    return (
        lipschitz * norm * steepest,
        unit_noise * steepest * SAFETY,
        (norm * size * steepest + offset) * SAFETY,
    )


@njit(**BORROWING)
def euclidean_norm(numbers):
    """Square root of the sum of squares (n,), rounded up."""
    squared = 0.0
    for i in range(numbers.shape[0]):
        squared += numbers[i] * numbers[i]
    return np.sqrt(squared) * SAFETY
