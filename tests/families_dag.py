"""Small networks with branches and maxima, each with its description for the oracle.

A *family* is a torch module with a method `describe` that says in plain matrices, side by side with
`forward`, what the module computes. Its weights are drawn by a *style*: generic ones, or such as
make lines coincide, meet in a point, or values equal over areas. Everything is determined by the
`numpy.random.Generator` or the seed handed in.

Examples
--------
>>> model, graph, polygon = example("residual", "integer", seed=0)
>>> model(torch.zeros(1, 2, dtype=torch.float64)).shape
torch.Size([1, 2])
>>> [len(step.functions) for step in graph.layers]
[4, 3, 4, 3, 4]
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from families import POLYGONS, SQUARE
from oracle_graph import OracleGraph

Rng = np.random.Generator
Draw = Callable[..., np.ndarray]
Example = tuple["Family", OracleGraph, np.ndarray]


# --- styles ---------------------------------------------------------------------------------


def _generic(rng: Rng, *shape: int) -> np.ndarray:
    return rng.normal(size=shape) / np.sqrt(shape[-1])


def _integer(rng: Rng, *shape: int) -> np.ndarray:
    return rng.integers(-2, 3, size=shape).astype(float)


def _zero_bias(rng: Rng, *shape: int) -> np.ndarray:
    return _generic(rng, *shape) if len(shape) > 1 else np.zeros(shape)


def _integer_zero_bias(rng: Rng, *shape: int) -> np.ndarray:
    return _integer(rng, *shape) if len(shape) > 1 else np.zeros(shape)


def _duplicates(rng: Rng, *shape: int) -> np.ndarray:
    """The second half of the rows, and of the biases, is the first one, every other row doubled."""
    half = (shape[0] + 1) // 2
    drawn = _integer(rng, half, *shape[1:])
    factors = 1.0 + np.arange(half) % 2
    return np.concatenate([drawn, (drawn.T * factors).T])[: shape[0]]


STYLES: dict[str, Draw] = {
    "generic": _generic,
    "integer": _integer,
    "zero bias": _zero_bias,
    "integer zero bias": _integer_zero_bias,
    "duplicates": _duplicates,
}


# --- parts ----------------------------------------------------------------------------------


class Family(nn.Module):
    """A network of two inputs that can describe itself.

    Parameters
    ----------
    draw : callable
        Draws weights and biases of a given shape.
    """

    def __init__(self, draw: Draw):
        super().__init__()
        self.draw = draw

    def dense(self, k: int, d: int) -> nn.Linear:
        layer = nn.Linear(k, d).double()
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(self.draw(d, k)))
            layer.bias.copy_(torch.from_numpy(self.draw(d)))
        return layer

    def describe(self, g: OracleGraph) -> None:
        """Add what `forward` does to a graph."""
        raise NotImplementedError


def apply(g: OracleGraph, layer: nn.Linear, value: int) -> int:
    """A dense layer."""
    return g.affine([(value, layer.weight)], layer.bias)


def total(g: OracleGraph, *terms: tuple[float, int]) -> int:
    """A sum of multiples of values."""
    return g.affine([(value, factor * np.eye(g.size(value))) for factor, value in terms])


def joined(g: OracleGraph, *values: int) -> int:
    """Values one after the other."""
    sizes = [g.size(value) for value in values]
    parts = np.split(np.eye(sum(sizes)), np.cumsum(sizes)[:-1], axis=1)
    return g.affine(list(zip(values, parts, strict=True)))


def pool_windows(shape: tuple[int, ...], size: int, stride: int, padding: int = 0) -> list:
    """Windows, of the same size along the last dimensions, of a value (channels, *lengths)."""
    channels, *lengths = shape
    positions = np.arange(np.prod(shape)).reshape(shape)
    padded = np.pad(positions, [(0, 0), *[(padding, padding)] * len(lengths)], constant_values=-1)
    starts = [range(0, n + 2 * padding - size + 1, stride) for n in lengths]
    return [
        padded[(c, *(slice(s, s + size) for s in start))].ravel().tolist()
        for c in range(channels)
        for start in product(*starts)
    ]


def conv1d_matrix(weight: Tensor, length: int, padding: int = 0) -> np.ndarray:
    """The matrix of a convolution of values (channels, length)."""
    made, channels, size = weight.shape
    out = length + 2 * padding - size + 1
    matrix = np.zeros((made, out, channels, length))
    for o, place, c, k in product(range(made), range(out), range(channels), range(size)):
        if 0 <= (i := place + k - padding) < length:
            matrix[o, place, c, i] = weight[o, c, k]
    return matrix.reshape(made * out, channels * length)


# --- branches -------------------------------------------------------------------------------


class Residual(Family):
    """``x + f(x)``, twice."""

    def __init__(self, draw: Draw):
        super().__init__(draw)
        self.first = self.dense(2, 4)
        self.inner = nn.ModuleList([self.dense(4, 3), self.dense(4, 3)])
        self.outer = nn.ModuleList([self.dense(3, 4), self.dense(3, 4)])
        self.last = self.dense(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        for inner, outer in zip(self.inner, self.outer, strict=True):
            x = F.relu(x + outer(F.relu(inner(x))))
        return self.last(x)

    def describe(self, g: OracleGraph) -> None:
        x = g.bend(apply(g, self.first, 0))
        for inner, outer in zip(self.inner, self.outer, strict=True):
            x = g.bend(total(g, (1, x), (1, apply(g, outer, g.bend(apply(g, inner, x))))))
        apply(g, self.last, x)


class DenseNet(Family):
    """Each layer reads the input and all layers before it."""

    def __init__(self, draw: Draw):
        super().__init__(draw)
        self.layers = nn.ModuleList([self.dense(2, 3), self.dense(5, 3), self.dense(8, 3)])
        self.last = self.dense(11, 2)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, F.relu(layer(x))], dim=1)
        return self.last(x)

    def describe(self, g: OracleGraph) -> None:
        x = 0
        for layer in self.layers:
            x = joined(g, x, g.bend(apply(g, layer, x)))
        apply(g, self.last, x)


class Twins(Family):
    """The difference of two branches that are equal over an area, before another layer."""

    def __init__(self, draw: Draw):
        super().__init__(draw)
        self.first = self.dense(2, 4)
        self.second = self.dense(4, 4)
        self.last = self.dense(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        z = self.first(x)
        x = F.relu(z) - F.leaky_relu(z, 0.5)  # zero where z is positive
        return self.last(F.relu(self.second(x) - 0.5 * x))

    def describe(self, g: OracleGraph) -> None:
        z = apply(g, self.first, 0)
        x = total(g, (1, g.bend(z)), (-1, g.bend(z, [0], [0.5, 1])))
        apply(g, self.last, g.bend(total(g, (1, apply(g, self.second, x)), (-0.5, x))))


# --- maxima ---------------------------------------------------------------------------------


class Maxout(Family):
    """Maxima of three affine functions, twice."""

    def __init__(self, draw: Draw):
        super().__init__(draw)
        self.first, self.second = self.dense(2, 9), self.dense(3, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).unflatten(1, (3, 3)).amax(2)
        return self.second(x).reshape(-1, 2, 3).max(dim=2).values

    def describe(self, g: OracleGraph) -> None:
        x = g.largest(apply(g, self.first, 0), np.arange(9).reshape(3, 3))
        g.largest(apply(g, self.second, x), np.arange(6).reshape(2, 3))


class PooledLine(Family):
    """A convolution along a line, a ReLU and a max-pool with padding: windows of zeros."""

    def __init__(self, draw: Draw):
        super().__init__(draw)
        self.first = self.dense(2, 6)
        self.convolution = nn.Conv1d(1, 2, 3, padding=1).double()
        with torch.no_grad():
            self.convolution.weight.copy_(torch.from_numpy(draw(2, 1, 3)))
            self.convolution.bias.copy_(torch.from_numpy(draw(2)))
        self.last = self.dense(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.convolution(self.first(x)[:, None]))
        x = F.max_pool1d(x, 3, stride=3, padding=1)  # (n, 2, 2)
        x = F.adaptive_max_pool1d(x, 1)
        return F.relu(self.last(x.flatten(1).repeat(1, 3)))

    def describe(self, g: OracleGraph) -> None:
        matrix = conv1d_matrix(self.convolution.weight.detach(), 6, padding=1)
        bias = self.convolution.bias.detach().repeat_interleave(6)
        x = g.bend(g.affine([(apply(g, self.first, 0), matrix)], bias))
        x = g.largest(x, pool_windows((2, 6), 3, 3, padding=1))
        x = g.largest(x, [[0, 1], [2, 3]])
        g.bend(apply(g, self.last, g.affine([(x, np.tile(np.eye(2), (3, 1)))])))


class PooledImage(Family):
    """A max-pool over rectified pixels, with windows that overlap."""

    def __init__(self, draw: Draw):
        super().__init__(draw)
        self.first, self.last = self.dense(2, 9), self.dense(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x)).unflatten(1, (1, 3, 3))
        return F.relu(self.last(F.max_pool2d(x, 2, stride=1).flatten(1)))

    def describe(self, g: OracleGraph) -> None:
        x = g.bend(apply(g, self.first, 0))
        g.bend(apply(g, self.last, g.largest(x, pool_windows((1, 3, 3), 2, 1))))


class ReluOverPool(Family):
    """A ReLU over a max-pool, with two channels."""

    def __init__(self, draw: Draw):
        super().__init__(draw)
        self.first, self.last = self.dense(2, 8), self.dense(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).unflatten(1, (2, 2, 2))
        return F.relu(self.last(F.relu(F.max_pool2d(x, 2)).flatten(1)))

    def describe(self, g: OracleGraph) -> None:
        x = g.bend(g.largest(apply(g, self.first, 0), pool_windows((2, 2, 2), 2, 2)))
        g.bend(apply(g, self.last, x))


class RectifiedMaxout(Family):
    """A maxout over rectified units, and a leaky ReLU over its winners."""

    def __init__(self, draw: Draw):
        super().__init__(draw)
        self.first = self.dense(2, 8)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(F.relu(self.first(x)).unflatten(1, (4, 2)).amax(2), 0.25)

    def describe(self, g: OracleGraph) -> None:
        x = g.largest(g.bend(apply(g, self.first, 0)), np.arange(8).reshape(4, 2))
        g.affine([(g.bend(x, slopes=(0.25, 1)), np.eye(4))])


class NestedPools(Family):
    """Max-pools of max-pools over rectified pixels: dilated ones, and such as go over the edge."""

    def __init__(self, draw: Draw):
        super().__init__(draw)
        self.first, self.last = self.dense(2, 6), self.dense(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x)).unflatten(1, (1, 2, 3))
        x = F.max_pool2d(x, 2, stride=1, dilation=2, padding=1)  # (n, 1, 2, 3)
        x = F.max_pool2d(x, 2, ceil_mode=True)  # (n, 1, 1, 2)
        return F.relu(self.last(x.flatten(1)))

    def describe(self, g: OracleGraph) -> None:
        def windows(rows: Any, columns: Any) -> list:
            return [
                [3 * i + j if i >= 0 and j >= 0 else -1 for i in r for j in c]
                for r in rows
                for c in columns
            ]

        x = g.bend(apply(g, self.first, 0))
        x = g.largest(x, windows([(-1, 1), (0, -1)], [(-1, 1), (0, 2), (1, -1)]))
        x = g.largest(x, windows([(0, 1)], [(0, 1), (2, -1)]))
        g.bend(apply(g, self.last, x))


class LargestOfBranches(Family):
    """The larger of two branches, one of them rectified."""

    def __init__(self, draw: Draw):
        super().__init__(draw)
        self.a, self.b, self.last = self.dense(2, 4), self.dense(2, 4), self.dense(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.maximum(F.relu(self.a(x)), self.b(x))
        return F.relu(self.last(x))

    def describe(self, g: OracleGraph) -> None:
        x = joined(g, g.bend(apply(g, self.a, 0)), apply(g, self.b, 0))
        x = g.largest(x, np.arange(8).reshape(2, 4).T)
        g.bend(apply(g, self.last, x))


class Smallest(Family):
    """Minima over a dimension, and of two values."""

    def __init__(self, draw: Draw):
        super().__init__(draw)
        self.first, self.second, self.last = self.dense(2, 6), self.dense(3, 3), self.dense(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).unflatten(1, (3, 2)).amin(2)
        x = torch.minimum(x, self.second(x))
        return self.last(x)

    def describe(self, g: OracleGraph) -> None:
        x = smallest(g, apply(g, self.first, 0), np.arange(6).reshape(3, 2))
        x = smallest(g, joined(g, x, apply(g, self.second, x)), np.arange(6).reshape(2, 3).T)
        apply(g, self.last, x)


def smallest(g: OracleGraph, value: int, members: Any) -> int:
    return total(g, (-1, g.largest(total(g, (-1, value)), members)))


class GroupSort(Family):
    """Pairs in order."""

    def __init__(self, draw: Draw):
        super().__init__(draw)
        self.first, self.second = self.dense(2, 4), self.dense(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.first, self.second):
            a, b = layer(x).chunk(2, dim=1)
            x = torch.cat([torch.maximum(a, b), torch.minimum(a, b)], dim=1)
        return x

    def describe(self, g: OracleGraph) -> None:
        x, pairs = 0, [[0, 2], [1, 3]]
        for layer in (self.first, self.second):
            x = apply(g, layer, x)
            x = joined(g, g.largest(x, pairs), smallest(g, x, pairs))


class PooledResidual(Family):
    """A residual sum around a max-pool."""

    def __init__(self, draw: Draw):
        super().__init__(draw)
        self.first, self.inner, self.last = self.dense(2, 4), self.dense(4, 4), self.dense(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        x = x + F.max_pool1d(F.relu(self.inner(x))[:, None], 3, stride=1, padding=1)[:, 0]
        return F.relu(self.last(x))

    def describe(self, g: OracleGraph) -> None:
        x = g.bend(apply(g, self.first, 0))
        y = g.largest(g.bend(apply(g, self.inner, x)), pool_windows((1, 4), 3, 1, padding=1))
        g.bend(apply(g, self.last, total(g, (1, x), (1, y))))


FAMILIES: dict[str, type[Family]] = {
    "residual": Residual,
    "dense": DenseNet,
    "twins": Twins,
    "maxout": Maxout,
    "pooled line": PooledLine,
    "pooled image": PooledImage,
    "relu over pool": ReluOverPool,
    "rectified maxout": RectifiedMaxout,
    "nested pools": NestedPools,
    "largest of branches": LargestOfBranches,
    "smallest": Smallest,
    "group sort": GroupSort,
    "pooled residual": PooledResidual,
}


def example(family: str, style: str, seed: int) -> Example:
    """Draw a network, its description, and a polygon to look at it on."""
    rng = np.random.default_rng([seed, *family.encode(), *style.encode()])
    model = FAMILIES[family](lambda *shape: STYLES[style](rng, *shape)).eval()
    graph = OracleGraph()
    model.describe(graph)
    return model, graph, SQUARE if seed == 0 else POLYGONS[int(rng.integers(len(POLYGONS)))]
