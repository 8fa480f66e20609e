"""Pushing values at vertices through one layer: the engine's only matrix products."""

from __future__ import annotations

import numpy as np
import torch

from splinecam.common.workers import Workers
from splinecam.network.planar import Layer

ROWS = 128
"""Vertices in one matrix product; a constant, so that rounding does not depend on threads."""

PRODUCT_GRAIN = 2**24
"""Least number of multiplications that is worth several threads."""

SMALL = 2**17
"""Products of fewer multiplications start no threads anyway."""


def propagate(
    layer: Layer,
    weight: np.ndarray,
    base: np.ndarray,
    values: np.ndarray,
    carried: np.ndarray,
    device: torch.device,
    workers: Workers,
) -> None:
    """Write later layers' hinges at the old vertices into the first rows of `carried`.

    Parameters
    ----------
    layer : Layer
    weight : ndarray
        (H', D) float64: what the later hinges make of the layer's activations.
    base : ndarray
        (H',) or (V, H') float64: what is added.
    values : ndarray
        (V, H) float64: hinges of `layer` at the old vertices.
    carried : ndarray
        (V', H') float64 with V' >= V.
    device : torch.device
        Where to multiply.
    workers : Workers
    """
    base = np.broadcast_to(base, (len(values), len(weight)))
    if device.type != "cpu":
        _propagate_on(device, layer, weight, base, values, carried)
    else:
        if values.size * len(weight) > SMALL:
            workers.limit_blas()
        n_blocks = -(-len(values) // ROWS)
        grain = PRODUCT_GRAIN // (ROWS * weight.size) + 1
        workers.run(_propagate_rows, n_blocks, layer, weight, base, values, carried, grain=grain)


def _propagate_rows(
    start: int,
    stop: int,
    layer: Layer,
    weight: np.ndarray,
    base: np.ndarray,
    values: np.ndarray,
    carried: np.ndarray,
) -> None:
    for block in range(start, stop):
        activations = layer.activate(values[block * ROWS : (block + 1) * ROWS])
        rows = slice(block * ROWS, block * ROWS + len(activations))
        np.matmul(activations, weight.T, out=carried[rows])
        carried[rows] += base[rows]


def _propagate_on(
    device: torch.device,
    layer: Layer,
    weight: np.ndarray,
    base: np.ndarray,
    values: np.ndarray,
    carried: np.ndarray,
) -> None:
    weight_there = torch.from_numpy(weight).to(device)
    for start in range(0, len(values), ROWS):
        activations = torch.from_numpy(layer.activate(values[start : start + ROWS])).to(device)
        rows = slice(start, start + len(activations))
        carried[rows] = (activations @ weight_there.T).cpu().numpy() + base[rows]
