"""The linear maps of which a `Program`'s affine steps are made.

Each acts on batches: its arguments are values ``(n, *shape)``, one for every value that the step
reads, and it is linear in all of them together. ``rows(units, *shapes)`` reads off the float64
coefficients of the entries `units` (k,) of the flattened result: a sparse matrix
``(k, prod(shape))`` for each argument, whose shapes, without the batch dimension, are given. These
coefficients *define* the map; applying it to a batch agrees with them up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv1d, conv2d, conv3d

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Shape = tuple[int, ...]
Units = NDArray[np.int64]

_ENTRIES_AT_ONCE = 1 << 22
"""Of the dense coefficients (32 MB) that `Applied.rows` reads in one go."""


@dataclass(frozen=True, eq=False)
class MatMul:
    """Multiply the last dimension by a matrix: ``(n, ..., k) -> (n, ..., d)``."""

    weight: Tensor  # (d, k) float64

    @property
    def n_terms(self) -> int:
        """How many products each entry of the result sums up."""
        return self.weight.shape[1]

    def __call__(self, x: Tensor) -> Tensor:
        """Apply to a batch."""
        return x @ self.weight.to(x.device).T

    def magnitudes(self) -> MatMul:
        """The same map with the absolute values of its coefficients."""
        return MatMul(self.weight.abs())

    def rows(self, units: Units, shape: Shape) -> list[csr_array]:
        """Read the coefficients of some entries of the result."""
        n_rows, n_columns = self.weight.shape
        block, row = np.divmod(units, n_rows)
        columns = block[:, None] * n_columns + np.arange(n_columns)
        return [_sparse(columns, self.weight.numpy()[row], prod(shape))]


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution, or cross-correlation, padded with zeros: ``(n, c, …) -> (n, d, …)``.

    Parameters
    ----------
    weight : Tensor
        (d, c / groups, *kernel) float64, with one to three dimensions of the kernel.
    stride, padding, dilation : tuple of int
        For each dimension of the kernel; padding is the same on both sides.
    groups : int
        Parts into which the channels are divided, each of them convolved on its own.

    Examples
    --------
    >>> kernel = torch.tensor([[[1.0, -2.0]]], dtype=torch.float64)
    >>> difference = Convolution(kernel, (2,), (1,), (1,))
    >>> difference(torch.arange(1.0, 4.0, dtype=torch.float64).reshape(1, 1, 3))
    tensor([[[-2., -4.]]], dtype=torch.float64)
    >>> windows, places = difference.windows((1, 3))
    >>> windows.tolist(), places.tolist()
    ([[-1, 0], [1, 2]], [[0, 0], [1, 0]])
    """

    weight: Tensor
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1

    @property
    def n_terms(self) -> int:
        """How many products each entry of the result sums up, at most."""
        return prod(self.weight.shape[1:])

    def __call__(self, x: Tensor) -> Tensor:
        """Apply to a batch."""
        convolve = (conv1d, conv2d, conv3d)[self.weight.ndim - 3]
        weight = self.weight.to(x.device)
        return convolve(x, weight, None, self.stride, self.padding, self.dilation, self.groups)

    def magnitudes(self) -> Convolution:
        """The same map with the absolute values of its coefficients."""
        return replace(self, weight=self.weight.abs())

    def windows(self, shape: Shape) -> tuple[Units, Units]:
        """Describe the map as one matrix, ``weight.reshape(d, k)``, times windows.

        Parameters
        ----------
        shape : tuple of int
            Shape of the argument, without the batch dimension.

        Returns
        -------
        windows : ndarray of int64, (n, k)
            The entries of the flattened argument that are multiplied; -1 for the padding.
        places : ndarray of int64, (units, 2)
            The window and the row of the matrix that make each entry of the result.
        """
        kernel = self.weight.shape[2:]
        around = [(0, 0), *((p, p) for p in self.padding)]
        entries = np.pad(np.arange(prod(shape)).reshape(shape), around, constant_values=-1)
        extents = tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, kernel, strict=True))
        every = [slice(None, None, step) for step in (*self.stride, *self.dilation)]
        view = sliding_window_view(entries, extents, tuple(range(1, entries.ndim)))
        view = view[:, *every]
        made = view.shape[1 : entries.ndim]
        parts = view.reshape(self.groups, -1, prod(made), prod(kernel)).swapaxes(1, 2)
        windows = parts.reshape(self.groups * prod(made), -1)
        channel, place = np.divmod(np.arange(len(self.weight) * prod(made)), prod(made))
        group = channel // (len(self.weight) // self.groups)
        return windows, np.column_stack([group * prod(made) + place, channel])

    def rows(self, units: Units, shape: Shape) -> list[csr_array]:
        """Read the coefficients of some entries of the result."""
        windows, places = self.windows(shape)
        window, row = places[units].T
        columns, weights = windows[window], self.weight.numpy().reshape(len(self.weight), -1)[row]
        inside = columns >= 0
        return [_sparse(np.where(inside, columns, 0), np.where(inside, weights, 0.0), prod(shape))]


@dataclass(frozen=True, eq=False)
class Scale:
    """Multiply by constants: ``(n, *shape) -> (n, *shape)``, broadcasting to the larger shape."""

    factor: Tensor  # broadcasts with the value's shape, float64
    n_terms = 1

    def __call__(self, x: Tensor) -> Tensor:
        """Apply to a batch."""
        return x * self.factor.to(x.device)

    def magnitudes(self) -> Scale:
        """The same map with the absolute values of its coefficients."""
        return Scale(self.factor.abs())

    def rows(self, units: Units, shape: Shape) -> list[csr_array]:
        """Read the coefficients of some entries of the result."""
        made = np.broadcast_shapes(shape, self.factor.shape)
        factor = np.broadcast_to(self.factor.numpy(), made).reshape(-1)[units]
        return [_sparse(_positions(shape, made)[units, None], factor[:, None], prod(shape))]


@dataclass(frozen=True)
class Reshape:
    """Rearrange every batch entry, in row-major order: ``(n, *old) -> (n, *new)``."""

    shape: Shape
    n_terms = 0

    def __call__(self, x: Tensor) -> Tensor:
        """Apply to a batch."""
        return x.reshape(x.shape[0], *self.shape)

    def magnitudes(self) -> Reshape:
        """The same map: its coefficients are ones."""
        return self

    def rows(self, units: Units, shape: Shape) -> list[csr_array]:
        """Read the coefficients of some entries of the result."""
        return [_sparse(units[:, None], np.ones((len(units), 1)), prod(shape))]


@dataclass(frozen=True)
class Sum:
    """Add up multiples of values: ``factors[0] * x_0 + factors[1] * x_1 + …``, broadcasting."""

    factors: tuple[float, ...]

    @property
    def n_terms(self) -> int:
        """How many products each entry of the result sums up."""
        return len(self.factors)

    def __call__(self, *xs: Tensor) -> Tensor:
        """Apply to a batch."""
        terms = (x if f == 1 else f * x for f, x in zip(self.factors, xs, strict=True))
        total = next(terms)
        for term in terms:
            total = total + term
        return total

    def magnitudes(self) -> Sum:
        """The same map with the absolute values of its coefficients."""
        return Sum(tuple(map(abs, self.factors)))

    def rows(self, units: Units, *shapes: Shape) -> list[csr_array]:
        """Read the coefficients of some entries of the result."""
        made = np.broadcast_shapes(*shapes)
        return [
            _sparse(_positions(shape, made)[units, None], np.full((len(units), 1), f), prod(shape))
            for f, shape in zip(self.factors, shapes, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class Gather:
    """Let every entry of the result be an entry of an argument, or zero.

    This is what permuting, slicing, indexing, repeating, joining and padding come to.

    Parameters
    ----------
    index : Tensor
        int64, of the result's shape: positions in the flattened arguments, one argument after the
        other; -1 where the result is zero.
    """

    index: Tensor
    n_terms = 0

    def __call__(self, *xs: Tensor) -> Tensor:
        """Apply to a batch."""
        entries = flat(xs[0]) if len(xs) == 1 else torch.cat([flat(x) for x in xs], dim=1)
        index = self.index.to(entries.device)
        taken = entries[:, index.clamp(min=0)]
        return taken.masked_fill(index < 0, 0.0) if (index < 0).any() else taken

    def magnitudes(self) -> Gather:
        """The same map: its coefficients are ones."""
        return self

    def rows(self, units: Units, *shapes: Shape) -> list[csr_array]:
        """Read the coefficients of some entries of the result."""
        index, start, found = self.index.numpy().reshape(-1)[units], 0, []
        for size in map(prod, shapes):
            (inside,) = np.nonzero((index >= start) & (index < start + size))
            entries = (np.ones(len(inside)), (inside, index[inside] - start))
            found.append(_csr(entries, (len(units), size)))
            start += size
        return found


@dataclass(frozen=True, eq=False)
class Applied:
    """A linear function that torch applies, say a convolution.

    Parameters
    ----------
    function : callable
        ``function(*xs, *weights)``: linear in the arguments `xs` together, with coefficients that
        are zero or positive where `weights` are. It takes batches of any size on any device, and
        the batches' entries do not mix.
    weights : tuple of Tensor
        Coefficients, float64.
    n_terms : int
        How many products each entry of the result sums up, at most; where the function computes
        coefficients of its own, as an average does, the roundings of these included.

    Examples
    --------
    >>> from functools import partial
    >>> from torch.nn.functional import conv1d
    >>> kernel = torch.tensor([[[1.0, -2.0]]], dtype=torch.float64)
    >>> difference = Applied(partial(conv1d, stride=2), (kernel,), n_terms=2)
    >>> difference(torch.arange(4.0, dtype=torch.float64).reshape(1, 1, 4))
    tensor([[[-2., -4.]]], dtype=torch.float64)
    >>> (rows,) = difference.rows(np.array([1]), (1, 4))
    >>> rows.toarray()
    array([[ 0.,  0.,  1., -2.]])
    """

    function: Callable[..., Tensor]
    weights: tuple[Tensor, ...]
    n_terms: int

    def __call__(self, *xs: Tensor) -> Tensor:
        """Apply to a batch."""
        return self.function(*xs, *(weight.to(xs[0].device) for weight in self.weights))

    def magnitudes(self) -> Applied:
        """The same map with the absolute values of its coefficients."""
        weights = tuple(weight.abs() for weight in self.weights)
        return Applied(self.function, weights, self.n_terms)

    def rows(self, units: Units, *shapes: Shape) -> list[csr_array]:
        """Read the coefficients of some entries of the result, by reverse differentiation."""
        at_once = max(1, _ENTRIES_AT_ONCE // sum(map(prod, shapes)))
        found: list[list[csr_array]] = [[] for _ in shapes]
        for chosen in _chunks(units, at_once):
            for parts, gradient in zip(found, self._gradients(chosen, shapes), strict=True):
                parts.append(_csr(gradient.numpy(), tuple(gradient.shape)))
        return [_stacked(parts) for parts in found]

    def _gradients(self, units: Units, shapes: Sequence[Shape]) -> Iterator[Tensor]:
        """Derivatives (k, size) of entry ``units[i]`` in batch entry i, for each argument."""
        with torch.inference_mode(False), torch.enable_grad():
            xs = [
                torch.zeros(len(units), *shape, dtype=torch.float64, requires_grad=True)
                for shape in shapes
            ]
            entries = flat(self(*xs))
            chosen = entries[torch.arange(len(units)), torch.from_numpy(units)]
            for gradient in torch.autograd.grad(chosen.sum(), xs, materialize_grads=True):
                yield flat(gradient)


LinearMap = MatMul | Convolution | Scale | Reshape | Sum | Gather | Applied


def flat(x: Tensor) -> Tensor:
    """A batch of values ``(n, *shape)`` as ``(n, prod(shape))``."""
    return x.reshape(len(x), prod(x.shape[1:]))


def _chunks(units: Units, size: int) -> list[Units]:
    """Cut into pieces of a size; no units make one empty piece."""
    return [units[start : start + size] for start in range(0, max(len(units), 1), size)]


def _positions(shape: Shape, made: Shape) -> Units:
    """Where the entries of a value of this shape go when it is broadcast: flattened."""
    return np.broadcast_to(np.arange(prod(shape)).reshape(shape), made).reshape(-1)


def _sparse(columns: Units, coefficients: NDArray[np.float64], size: int) -> csr_array:
    """A matrix (k, size) that has ``coefficients[i, j]`` in column ``columns[i, j]`` of row i."""
    n_rows, n_columns = columns.shape
    starts = np.arange(n_rows + 1) * n_columns
    return _csr((coefficients.ravel(), columns.ravel(), starts), (n_rows, size))


# scipy.sparse takes a fifth of a second to import, for which partitions need not wait.


def _csr(entries: Any, shape: Shape) -> csr_array:
    """A sparse matrix without zeros, from what scipy makes one of."""
    from scipy.sparse import csr_array

    matrix = csr_array(entries, shape=shape)
    matrix.eliminate_zeros()
    return matrix


def _stacked(parts: list[csr_array]) -> csr_array:
    from scipy.sparse import csr_array, vstack

    return csr_array(vstack(parts))
