"""A whole network in one call, where it is so small that the interpreter would take longest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, uint64

from splinecam._kernels.arrays import CONTRACTED, JIT, Mesh
from splinecam._kernels.bounds import (
    SAFETY,
    after_layer,
    bound_activations,
    bound_hinges,
    euclidean_norm,
)
from splinecam._kernels.layer import cut_layer
from splinecam._kernels.words import BITS


class Chain(NamedTuple):
    """Layers of up to 64 units with one breakpoint, the same in a layer; arrays end to end."""

    starts: np.ndarray  # (L + 1, 4) int64: into each of the next four, layer by layer
    biases: np.ndarray  # float64
    weights: np.ndarray  # float64: matrices (D, K), flattened
    weight_errors: np.ndarray  # float64, one for each unit or layer
    bias_errors: np.ndarray  # float64, one for each unit or layer
    functions: np.ndarray  # (L, 4) float64: breakpoint, slopes below and above it, value there


@njit(**JIT)
def cut_chain(polygon, chain, size, term_rounding, rounding, usual_radius, most_vertices):
    """Cut a polygon by all layers of a chain, if float64 decides everything.

    Parameters
    ----------
    polygon : ndarray
        (n, 2) float64, counter-clockwise.
    chain : Chain
    size : float
        Norm of the polygon's points at most.
    term_rounding : float
        Relative error of a sum, for each of its terms.
    rounding, usual_radius, most_vertices
        As for `cut_layer`.

    Returns
    -------
    done : bool
        If False, the rest is not meant.
    mesh : Mesh
    pattern : ndarray
        (units,) uint8, of the face left of edge 0.
    """
    mesh = _one_face(polygon)
    pattern = np.empty(chain.biases.shape[0], np.uint8)
    lipschitz = 1.0
    noise = 0.0
    values = np.empty((polygon.shape[0], chain.starts[1, 0]))
    _apply(polygon, _matrix(chain, 0), _biases(chain, 0), chain.functions[0, 0], values)
    for number in range(chain.functions.shape[0]):
        weight = _matrix(chain, number)
        bias = _biases(chain, number)
        function = chain.functions[number]
        breakpoints = np.empty((1, 1))
        breakpoints[0, 0] = function[0]
        n_units, n_inputs = weight.shape
        weight_errors = chain.weight_errors[chain.starts[number, 2] : chain.starts[number + 1, 2]]
        bounds, unit_noise = bound_hinges(
            *(weight, bias, breakpoints, weight_errors),
            chain.bias_errors[chain.starts[number, 3] : chain.starts[number + 1, 3]],
            *(term_rounding * (n_inputs + 8), lipschitz, noise, size),
        )
        if not euclidean_norm(bounds.reach) + euclidean_norm(bounds.noise) < np.inf:
            return False, mesh, pattern
        all_hinges = np.empty(1, np.uint64)
        all_hinges[0] = ~uint64(0) >> uint64(BITS - n_units)
        known, kinks = _carry_on(chain, number, values)
        done, mesh, carried = cut_layer(
            *(mesh, values, bounds, all_hinges, chain.starts[number, 0]),
            *(rounding, usual_radius, most_vertices, known, kinks),
        )
        if not done:
            return False, mesh, pattern
        for h in range(n_units):
            pattern[chain.starts[number, 0] + h] = values[0, h] > 0.0
        slopes = np.empty((1, 2))
        slopes[0, 0] = function[1]
        slopes[0, 1] = function[2]
        # At least its spectral norm; in few and small layers the difference does not matter.
        entries = chain.weights[chain.starts[number, 1] : chain.starts[number + 1, 1]]
        norm = (euclidean_norm(entries) + euclidean_norm(weight_errors)) * SAFETY
        steepest, offset = bound_activations(bias, breakpoints, slopes, function[3:])
        lipschitz, noise, size = after_layer(norm, steepest, offset, unit_noise, lipschitz, size)
        values = carried
    return True, mesh, pattern


@njit(**JIT)
def _one_face(polygon):
    """The subdivision that has one face; its corners are exact."""
    n = polygon.shape[0]
    vertices = np.empty((n, 2))
    edges = np.empty((n, 2), np.int32)
    edge_faces = np.empty((n, 2), np.int32)
    edge_labels = np.empty(n, np.int32)
    halfedges = np.empty(n, np.int32)
    for i in range(n):
        vertices[i, 0] = polygon[i, 0]
        vertices[i, 1] = polygon[i, 1]
        edges[i, 0] = i
        edges[i, 1] = (i + 1) % n
        edge_faces[i, 0] = 0
        edge_faces[i, 1] = -1
        edge_labels[i] = -1 - i
        halfedges[i] = 2 * i
    offsets = np.zeros(2, np.int32)
    offsets[1] = n
    return Mesh(
        *(vertices, edges, edge_faces, edge_labels),
        *(np.zeros(n), np.zeros(n), offsets, halfedges),
    )


@njit(**JIT)
def _matrix(chain, number):
    start, stop = chain.starts[number, 1], chain.starts[number + 1, 1]
    n_units = chain.starts[number + 1, 0] - chain.starts[number, 0]
    return chain.weights[start:stop].reshape(n_units, (stop - start) // n_units)


@njit(**JIT)
def _biases(chain, number):
    return chain.biases[chain.starts[number, 0] : chain.starts[number + 1, 0]]


@njit(**JIT)
def _carry_on(chain, number, values):
    """The next layer's hinges at the vertices, and what each hinge adds to their slopes."""
    if number + 1 == chain.functions.shape[0]:
        return np.empty((values.shape[0], 0)), np.empty((values.shape[1], 0))
    _, below, above, start = chain.functions[number]
    weight = _matrix(chain, number + 1)
    kinks = np.empty((weight.shape[1], weight.shape[0]))
    for h in range(kinks.shape[0]):
        for d in range(kinks.shape[1]):
            kinks[h, d] = (above - below) * weight[d, h]
    activations = np.empty(values.shape)
    for v in range(values.shape[0]):
        for h in range(values.shape[1]):
            value = values[v, h]
            activations[v, h] = start + (above * value if value > 0.0 else below * value)
    known = np.empty((values.shape[0], weight.shape[0]))
    shift = chain.functions[number + 1, 0]
    _apply(activations, weight, _biases(chain, number + 1), shift, known)
    return known, kinks


@njit(**CONTRACTED)
def _apply(points, weight, bias, shift, values):
    """Write values (n, D) of hinges at points (n, K)."""
    for v in range(points.shape[0]):
        for d in range(weight.shape[0]):
            value = bias[d] - shift
            for k in range(weight.shape[1]):
                value += points[v, k] * weight[d, k]
            values[v, d] = value
