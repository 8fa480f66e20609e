"""Local complexity in the full input space: how many units change around points, for any model.

What is exact, but on a slice, is in `splinecam.measures.windows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from splinecam.common.arguments import check_integer
from splinecam.common.batches import (
    checked_batch_size,
    checked_device,
    checked_points,
    input_size,
    point_batches,
)
from splinecam.common.types import Floats, Ints
from splinecam.measures.activations import ActivationWatch, Layers
from splinecam.measures.windows import checked_radius


@dataclass(frozen=True, eq=False, repr=False)
class LocalComplexity:
    """How many units change around points; made by `local_complexity`.

    Attributes
    ----------
    per_layer : ndarray
        (n, L) int64: how many units of each layer change around each point.
    per_unit : tuple of ndarray
        L arrays (units,) int64: around how many of the points each unit changes. For one point
        that tells which units change.
    layer_names : tuple of str
        L names: the paths of the activations in the model, in the order of their calls. What a
        forward calls several times stands there several times.
    layer_sizes : tuple of int
        Number of units of each layer.
    """

    per_layer: Ints
    per_unit: tuple[Ints, ...]
    layer_names: tuple[str, ...]
    layer_sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        for array in (self.per_layer, *self.per_unit):
            array.setflags(write=False)

    def __repr__(self) -> str:
        n, n_layers = self.per_layer.shape
        return (
            f"<LocalComplexity: {self.total.mean():.6g} of {sum(self.layer_sizes):,} units "
            f"in the mean of {n:,} points; layers: {n_layers}>"
        )

    @property
    def total(self) -> Ints:
        """(n,) int64: the sum over the layers, which is the paper's local complexity."""
        return self.per_layer.sum(axis=1)

    @property
    def fraction(self) -> Floats:
        """(n,) float64: the share of all units that change, 0 to 1."""
        return self.total / sum(self.layer_sizes)


def local_complexity(
    model: nn.Module,
    points: ArrayLike,
    *,
    radius: float,
    n_directions: int,
    seed: int = 0,
    layers: Layers | None = None,
    device: str | torch.device | None = None,
    batch_size: int | None = None,
) -> LocalComplexity:
    """Count the units that change sign around points of the input space, whatever the model.

    For P orthonormal directions v, the same for all points, the model is evaluated at the 2 P
    corners x ± r v of a cross-polytope around each point x. A unit counts if its pre-activation
    does not have the same sign, -1, 0 or 1, at all corners: then its zero set meets the polytope
    (Humayun, Balestriero & Baraniuk, "Deep networks always grok and here is why", ICML 2024,
    arXiv 2402.15555, §2.2, eq. 3-6). That is exact for the first layer; for deeper ones what
    counts is the convex hull of the corners' images, an approximation for small radii (ibid.,
    fig. 5).

    Units are the entries of what activation functions are applied to, by whichever module,
    function or tensor method they are called: ReLU, leaky ReLU, PReLU, RReLU, ELU, CELU, SELU,
    GELU, SiLU, Mish and softplus, of which the sign counts; ReLU6, hard tanh, hard sigmoid,
    hard swish, soft shrinkage, threshold and clamp, where in place of 0 each breakpoint counts;
    absolute values. The outputs of the model and maxima (pooling, maxout) are not among them.

    Parameters
    ----------
    model : torch.nn.Module
        Takes a batch of inputs. It is evaluated as a private float64 copy in evaluation mode,
        without its forward hooks, and left as it is.
    points : array_like
        (n, *input_shape) with n >= 1; D is the number of one input's entries.
    radius : float
        r > 0, the distance of the corners, in units of the input.
    n_directions : int
        P, 1 to D.
    seed : int
        Seed of the directions, >= 0: a QR decomposition of a matrix of normal random numbers. The
        global random state is neither read nor set.
    layers : sequence of str and type, optional
        The modules whose activations count, by path in the model or by type, with those of the
        modules inside them, or the layers' names. A chosen module of your own without submodules
        that calls none of the functions above is an activation itself: the sign of its first
        argument counts. Default: all calls of the functions above.
    device : str or torch.device, optional
        Where the model is evaluated, in float64. Default: the CPU.
    batch_size : int, optional
        How many points, each with its 2 P corners, are evaluated at a time. Default: as many as
        make about 2,000 inputs or a million entries of inputs. The result depends on it only where
        the rounding of a matrix product decides on which side of a breakpoint a pre-activation is.

    Returns
    -------
    LocalComplexity

    Raises
    ------
    InvalidArgumentError
        If an argument other than the model is none of these.
    InvalidModelError
        If the model's weights or pre-activations are not finite, or it cannot be evaluated on
        such inputs.
    UnsupportedLayerError
        If no activation is found, or a result would depend on other points (statistics of the
        batch, a first dimension that is not the batch) or on chance.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.measures.complexity import local_complexity
    >>> folds = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = folds[0].weight.copy_(torch.eye(2)), folds[0].bias.zero_()
    >>> points = [[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    >>> complexity = local_complexity(folds, points, radius=0.1, n_directions=2)
    >>> complexity.total.tolist(), complexity.layer_names
    ([2, 1, 0], ('1',))
    >>> complexity.per_unit[0].tolist()
    [2, 1]
    """
    x = checked_points(points)
    dim = input_size(x)
    check_integer("n_directions", n_directions, 1, dim)
    check_integer("seed", seed, 0)
    size = checked_batch_size(batch_size, dim, per_point=2 * n_directions)
    frame = _orthonormal_frame(dim, n_directions, seed)
    steps = checked_radius(radius) * np.concatenate([frame, -frame]).reshape(-1, *x.shape[1:])
    where = checked_device(device)
    with torch.inference_mode(False), torch.no_grad():
        observe = partial(_count_changes, n_corners=len(steps))
        watch = ActivationWatch(model, layers, where, observe)
        around = torch.from_numpy(steps).to(where)
        found, seen = watch.run_all(
            (centres[:, None] + around).flatten(0, 1) for centres in point_batches(x, size, where)
        )
    per_point, per_unit = zip(*map(_joined, seen), strict=True)
    names, sizes = zip(*found, strict=True)
    return LocalComplexity(np.stack(per_point, axis=1), per_unit, names, sizes)


class Changes(NamedTuple):
    """How many units of one layer change, in a batch of points."""

    per_point: Tensor  # (n,) int64
    per_unit: Tensor  # (units,) int64


def _count_changes(z: Tensor, breakpoints: tuple[float, ...], n_corners: int) -> Changes:
    """Count units with pre-activations (n * n_corners, units) on two sides of a breakpoint."""
    by_point = z.unflatten(0, (-1, n_corners))
    low, high = by_point.amin(dim=1), by_point.amax(dim=1)
    changed = torch.zeros_like(low, dtype=torch.bool)
    for t in breakpoints:
        changed |= (low - t).sign() != (high - t).sign()
    return Changes(changed.sum(dim=1), changed.sum(dim=0))


def _joined(batches: Sequence[Changes]) -> tuple[Ints, Ints]:
    per_point = torch.cat([changes.per_point for changes in batches])
    per_unit = torch.stack([changes.per_unit for changes in batches]).sum(dim=0)
    return per_point.cpu().numpy(), per_unit.cpu().numpy()


def _orthonormal_frame(dim: int, n_directions: int, seed: int) -> Floats:
    """Random orthonormal directions, (P, D)."""
    normal = np.random.default_rng(seed).standard_normal((dim, n_directions))
    return np.linalg.qr(normal)[0].T
