"""Seeded families of small networks, each with a slice's polygon to look at it on.

A *layer family* draws the weights of one layer and may look at the layers before it, so that it
can place a unit's zero set relative to what is already there; a *family* draws a whole network.
Weights whose degeneracy needs exact arithmetic are small dyadic numbers; where rounding makes a
degenerate network only nearly degenerate, that is a case of its own, and wanted.

`FAMILIES` holds all families by name, `GENERIC` those for which float64 arithmetic is enough.
Everything is determined by the `numpy.random.Generator` or the seed handed in.

Examples
--------
>>> model, polygon = example("symmetric", seed=0)
>>> len(polygon)
4
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import nn

T = TypeVar("T")
Model = TypeVar("Model", bound=nn.Module)
Rng = np.random.Generator
Parameters = tuple[np.ndarray, np.ndarray]  # weight (D, K) and bias (D,)
LayerFamily = Callable[[Rng, int, "Prefix"], Parameters]
Example = tuple[nn.Sequential, np.ndarray]
Family = Callable[[Rng], Example]


class Abs(nn.Module):
    """The absolute value."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.abs(x)


# --- slices ---------------------------------------------------------------------------------

SQUARE = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
UNIT_SQUARE = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
RECTANGLE = np.array([[0.5, -0.25], [3, -0.25], [3, 1], [0.5, 1]])
TRIANGLE = np.array([[-1.0, -1], [2, -0.5], [0, 1.5]])
HEXAGON = np.array([[2.0, 0], [1, 2], [-1, 2], [-2, 0], [-1, -2], [1, -2]])
DIAMOND = SQUARE @ np.array([[0.8, 0.6], [-0.6, 0.8]])

POLYGONS = [SQUARE, RECTANGLE, TRIANGLE, HEXAGON, DIAMOND]
TINY = 1e-9 * HEXAGON
TINY_OFFSET = 1e-9 * HEXAGON + np.array([0.3, -0.7])
HUGE = 1e9 * TRIANGLE
FAR = SQUARE + np.array([1e6, -1e6])
DOMAINS = [*POLYGONS, TINY, TINY_OFFSET, HUGE, FAR]


def _one_of(rng: Rng, options: Sequence[T]) -> T:
    return options[int(rng.integers(len(options)))]


# --- layers ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prefix:
    """What a layer family may look at: the polygon, and the layers before in float64."""

    polygon: np.ndarray
    layers: nn.Sequential

    def hidden(self, points: np.ndarray) -> np.ndarray:
        """Evaluate the inputs of the next layer at (n, 2) points."""
        with torch.no_grad():
            return self.layers(torch.from_numpy(points)).numpy()

    @property
    def width(self) -> int:
        return self.hidden(self.polygon).shape[1]

    @property
    def spread(self) -> float:
        """How far the next layer's inputs vary over the polygon."""
        return float(np.ptp(self.hidden(self.polygon), axis=0).max()) or 1.0

    def inner_points(self, rng: Rng, n: int) -> np.ndarray:
        return rng.dirichlet(np.ones(len(self.polygon)), size=n) @ self.polygon

    def grid_points(self, rng: Rng, n: int) -> np.ndarray:
        """Draw points inside the first three corners, exact when the corners are small dyadic."""
        u, v = rng.integers(1, 4, size=(2, n, 1)) / 8
        a, b, c = self.polygon[:3]
        return a + u * (b - a) + v * (c - a)

    def vertices(self, rng: Rng, n: int) -> np.ndarray:
        """Draw crossings of two lines of the first layer; grid points where that finds none."""
        points = self.grid_points(rng, n)
        if len(self.layers):
            weight, bias = (p.detach().numpy() for p in self.layers[0].parameters())
            for k in range(n):
                pair = rng.integers(len(bias), size=2)
                if abs(np.linalg.det(weight[pair])) > 1e-6:
                    crossing = np.linalg.solve(weight[pair], -bias[pair])
                    points[k] = crossing if self._contains(crossing) else points[k]
        return points

    def _contains(self, point: np.ndarray) -> bool:
        to_next = np.roll(self.polygon, -1, axis=0) - self.polygon
        to_point = point - self.polygon
        return bool(np.all(to_next[:, 0] * to_point[:, 1] > to_next[:, 1] * to_point[:, 0]))


def _through(weight: np.ndarray, prefix: Prefix, points: np.ndarray) -> Parameters:
    """Choose the biases so that unit i vanishes at point i, up to rounding."""
    return weight, -(weight * prefix.hidden(points)).sum(axis=1)


def gaussian(rng: Rng, width: int, prefix: Prefix) -> Parameters:
    weight = rng.normal(size=(width, prefix.width)) * (6 / prefix.spread)
    weight, bias = _through(weight, prefix, prefix.inner_points(rng, width))
    return weight, bias + 0.3 * rng.normal(size=width)  # not zero where the inputs are constant


def zero_bias(rng: Rng, width: int, prefix: Prefix) -> Parameters:
    return rng.normal(size=(width, prefix.width)), np.zeros(width)


def integer(rng: Rng, width: int, prefix: Prefix) -> Parameters:
    return _integers(rng, 2, width, prefix.width), _integers(rng, 2, width)


def eighth_grid(rng: Rng, width: int, prefix: Prefix) -> Parameters:
    return _integers(rng, 8, width, prefix.width) / 8, _integers(rng, 8, width) / 8


def low_bit(rng: Rng, width: int, prefix: Prefix) -> Parameters:
    """Two- to four-bit weights times a scale, as a quantised network has them."""
    low = 2 ** rng.integers(1, 4)
    scale = _one_of(rng, [0.5, 0.1, rng.uniform(0.1, 1)])
    codes = rng.integers(-low, low, size=(width, prefix.width + 1))
    return scale * codes[:, 1:], scale * codes[:, 0]


def duplicated(rng: Rng, width: int, prefix: Prefix) -> Parameters:
    return _proportional(rng, width, prefix, [1])


def negated(rng: Rng, width: int, prefix: Prefix) -> Parameters:
    return _proportional(rng, width, prefix, [-1])


def scaled(rng: Rng, width: int, prefix: Prefix) -> Parameters:
    """Proportional neurons; factors that are no power of two leave them nearly so."""
    return _proportional(rng, width, prefix, [2, 0.5, -4, 3, 0.1])


def paired(rng: Rng, width: int, prefix: Prefix) -> Parameters:
    """Nothing but pairs and larger classes of neurons that are exact multiples, of both signs."""
    source = _one_of(rng, [integer, zero_bias, flat, rebuild, low_bit, along_sides])
    weight, bias = source(rng, (width + 1) // 2, prefix)
    chosen = np.append(np.arange(len(bias)), rng.integers(len(bias), size=width // 2))
    factors = np.append(np.ones(len(bias)), rng.choice([-1, -2, -0.5, 4, -4], size=width // 2))
    order = rng.permutation(width)
    return (factors[:, None] * weight[chosen])[order], (factors * bias[chosen])[order]


def through_corners(rng: Rng, width: int, prefix: Prefix) -> Parameters:
    corners = prefix.polygon[rng.integers(len(prefix.polygon), size=width)]
    return _through(_integers(rng, 3, width, prefix.width), prefix, corners)


def along_sides(rng: Rng, width: int, prefix: Prefix) -> Parameters:
    """Units half of which vanish at two neighbouring corners of the polygon."""
    weight, bias = integer(rng, width, prefix)
    start = rng.integers(len(prefix.polygon), size=width)
    corners, following = prefix.polygon[start], np.roll(prefix.polygon, -1, axis=0)[start]
    change = prefix.hidden(following) - prefix.hidden(corners)
    along = np.zeros((width, prefix.width))
    for row, step in zip(along, change, strict=True):
        i, j = rng.permutation(max(len(row), 2))[:2] % len(row)
        row[[i, j]] = step[j], -step[i]
    along, offset = _through(along, prefix, corners)
    chosen = rng.random(width) < 0.5
    return np.where(chosen[:, None], along, weight), np.where(chosen, offset, bias)


def through_vertices(rng: Rng, width: int, prefix: Prefix) -> Parameters:
    """Units that vanish where two lines of the first layer cross."""
    weight = _integers(rng, 1 if len(prefix.layers) == 0 else 3, width, prefix.width)
    return _through(weight, prefix, prefix.vertices(rng, width))


def concurrent(rng: Rng, width: int, prefix: Prefix) -> Parameters:
    weight = _integers(rng, 5, width, prefix.width)
    return _through(weight, prefix, np.repeat(prefix.grid_points(rng, 1), width, axis=0))


def nearly_concurrent(rng: Rng, width: int, prefix: Prefix) -> Parameters:
    weight, bias = concurrent(rng, width, prefix)
    return weight, bias + 10.0 ** rng.integers(-13, -9) * rng.normal(size=width)


def rebuild(rng: Rng, width: int, prefix: Prefix) -> Parameters:
    """Pairs f, -f; on top of such pairs, c relu(f) - d relu(-f), whose zero set is that of f."""
    fan_in, n_pairs = prefix.width, (width + 1) // 2
    weight, bias = _one_of(rng, [gaussian, integer])(rng, n_pairs, prefix)
    if len(prefix.layers) and fan_in > 1:
        weight[1:], bias[1:] = 0, 0
        for row in weight[1:]:
            first = 2 * rng.integers(fan_in // 2)
            c = _one_of(rng, [1, 2, 0.75])
            row[first], row[first + 1] = c, -_one_of(rng, [c, c, 0.5])
    pairs = np.stack([weight, -weight], axis=1).reshape(2 * n_pairs, fan_in)
    return pairs[:width], np.stack([bias, -bias], axis=1).ravel()[:width]


def flat(rng: Rng, width: int, prefix: Prefix) -> Parameters:
    """Units with zero weights, zero or constant."""
    weight, bias = _one_of(rng, [gaussian, integer])(rng, width, prefix)
    chosen = rng.random(width) < 0.5
    weight[chosen] = 0
    bias[chosen] = rng.integers(-1, 2, size=chosen.sum())
    return weight, bias


def dead(rng: Rng, width: int, prefix: Prefix) -> Parameters:
    """Units that keep one side of zero on the whole slice, many of them the lower one."""
    weight, bias = _one_of(rng, [gaussian, integer])(rng, width, prefix)
    bound = 10 * np.abs(weight).sum(axis=1) * np.abs(prefix.hidden(prefix.polygon)).max() + 1
    shift = rng.choice([-1, 0, 1], size=width, p=[0.4, 0.5, 0.1]) * bound
    return weight, np.where(shift == 0, bias, shift)


def pruned(rng: Rng, width: int, prefix: Prefix) -> Parameters:
    """Zeros all over the weights, and whole rows and columns of them."""
    weight, bias = _one_of(rng, [gaussian, integer])(rng, width, prefix)
    weight *= rng.random(weight.shape) < 0.6
    weight[rng.random(width) < 0.2] = 0
    weight[:, rng.random(prefix.width) < 0.2] = 0
    return weight, bias * (rng.random(width) < 0.6)


def constant(rng: Rng, width: int, prefix: Prefix) -> Parameters:
    return np.zeros((width, prefix.width)), _integers(rng, 1, width)


def symmetric(rng: Rng, width: int, prefix: Prefix) -> Parameters:
    """Layers that commute with the rotation of the plane by 90 degrees."""
    n_orbits = -(-width // 4)
    turns = np.stack([np.eye(4)[np.arange(4) - k] for k in range(4)])  # cyclic permutations
    if len(prefix.layers):
        n_blocks = -(-prefix.width // 4)
        numbers = rng.integers(-4, 5, size=(n_orbits, n_blocks, 4)) / 4
        weight = np.einsum("ijk,kab->iajb", numbers, turns).reshape(4 * n_orbits, 4 * n_blocks)
    else:
        a, b = rng.integers(-4, 5, size=(2, n_orbits)) / 4
        weight = np.stack([[a, b], [-b, a], [-a, -b], [b, -a]]).transpose(2, 0, 1).reshape(-1, 2)
    bias = np.repeat(rng.integers(-4, 5, size=n_orbits) / 8, 4)
    return weight[:width, : prefix.width], bias[:width]


def wide_range(rng: Rng, width: int, prefix: Prefix) -> Parameters:
    """Weights from 1e-8 to 1e8."""
    shape = width, prefix.width
    weight = rng.normal(size=shape) * 10 ** rng.uniform(-8, 8, size=shape)
    return _through(weight, prefix, prefix.inner_points(rng, width))


def parallel(rng: Rng, width: int, prefix: Prefix) -> Parameters:
    """Integer units at distances of 1 and 2: hard-tanh's breakpoints at -1 and 1 coincide."""
    weight, bias = integer(rng, width, prefix)
    source = rng.integers(width, size=width)
    return weight[source], bias[source] + rng.integers(-2, 3, size=width)


def _integers(rng: Rng, largest: int, *shape: int) -> np.ndarray:
    return rng.integers(-largest, largest + 1, size=shape).astype(np.float64)


def _proportional(rng: Rng, width: int, prefix: Prefix, factors: Sequence[float]) -> Parameters:
    """Neurons half of which are multiples of others."""
    weight, bias = _one_of(rng, [gaussian, integer])(rng, width, prefix)
    n_copies = width // 2
    factor = rng.choice(factors, size=n_copies)
    source = rng.integers(n_copies, width, size=n_copies)
    weight[:n_copies] = factor[:, None] * weight[source]
    bias[:n_copies] = factor * bias[source]
    order = rng.permutation(width)
    return weight[order], bias[order]


LAYER_FAMILIES: dict[str, LayerFamily] = {
    family.__name__: family
    for family in (
        gaussian, zero_bias, integer, eighth_grid, low_bit, duplicated, negated, scaled,
        paired, through_corners, along_sides, through_vertices, concurrent, nearly_concurrent,
        rebuild, flat, dead, pruned, constant, symmetric, wide_range, parallel,
    )
}  # fmt: skip


# --- networks -------------------------------------------------------------------------------


def _prelu(rng: Rng, width: int) -> nn.Module:
    module = nn.PReLU(width)
    slopes = rng.choice([-1, 0, 0.25, 0.1, 1], size=width)
    module.weight.data = torch.from_numpy(slopes)
    return module


ACTIVATIONS: dict[str, Callable[[Rng, int], nn.Module]] = {
    "relu": lambda rng, width: nn.ReLU(),
    "leaky_relu": lambda rng, width: nn.LeakyReLU(_one_of(rng, [0.01, 0.125, 0.3])),
    "prelu": _prelu,
    "hardtanh": lambda rng, width: nn.Hardtanh(*_one_of(rng, [(-1, 1), (-0.5, 1), (0, 0.25)])),
    "relu6": lambda rng, width: nn.ReLU6(),
    "softshrink": lambda rng, width: nn.Softshrink(_one_of(rng, [0.5, 0.1])),
    "abs": lambda rng, width: Abs(),
}


def build(
    rng: Rng,
    polygon: np.ndarray,
    layers: Sequence[LayerFamily],
    widths: Sequence[int],
    activations: Sequence[str],
    *,
    dtype: torch.dtype = torch.float64,
) -> nn.Sequential:
    """Build a network with one hidden layer of each given family, and two outputs."""
    modules: list[nn.Module] = []
    for layer, width, activation in zip(
        [*layers, integer], [*widths, 2], [*activations, None], strict=True
    ):
        prefix = Prefix(polygon, copy.deepcopy(nn.Sequential(*modules)).double())
        modules.append(linear(*layer(rng, width, prefix), dtype))
        if activation is not None:
            modules.append(ACTIVATIONS[activation](rng, width).to(dtype))
    return nn.Sequential(*modules)


def linear(weight: np.ndarray, bias: np.ndarray, dtype: torch.dtype) -> nn.Linear:
    """Make a `Linear` without touching torch's random numbers."""
    n_units, fan_in = weight.shape
    layer = nn.Linear(fan_in, n_units, device="meta", dtype=dtype).to_empty(device="cpu")
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer


def random_widths(rng: Rng) -> list[int]:
    """Draw one to four hidden layers, the narrower the more there are."""
    depth = rng.integers(1, 5)
    return [int(width) for width in rng.integers(2, 15 - 2 * depth, size=depth)]


def _any_activations(rng: Rng, depth: int) -> list[str]:
    """Draw the same activation for all layers, and half of the time ReLU."""
    return [_one_of(rng, ["relu"] * 6 + list(ACTIVATIONS))] * depth


def relocate(
    model: nn.Sequential, polygon: np.ndarray, scale: float, centre: Sequence[float]
) -> Example:
    """Move a slice and the network's first layer with it, up to rounding."""
    moved = copy.deepcopy(model)
    first = moved[0]
    assert isinstance(first, nn.Linear)
    with torch.no_grad():
        first.weight.div_(scale)
        first.bias.sub_(first.weight @ torch.tensor(centre, dtype=first.weight.dtype))
    return moved, scale * polygon + np.array(centre)


def perturb(model: Model, rng: Rng, scale: float, fraction: float) -> Model:
    """Copy a model with noise of the given size on the weights of a fraction of its units."""
    perturbed = copy.deepcopy(model)
    with torch.no_grad():
        for module in perturbed.modules():
            if isinstance(module, nn.Linear):
                chosen = rng.random(module.out_features) < fraction
                for parameter in (module.weight.T, module.bias):
                    noise = scale * chosen * rng.normal(size=parameter.shape)
                    parameter += torch.from_numpy(noise).to(parameter.dtype)
    return perturbed


# --- families -------------------------------------------------------------------------------


def generic(
    rng: Rng,
    *,
    polygons: Sequence[np.ndarray] = tuple(POLYGONS),
    activations: Sequence[str] = ("relu",),
    widths: Sequence[int] | None = None,
    dtype: torch.dtype = torch.float64,
) -> Example:
    """Gaussian weights, each unit's zero set through a random point of the slice."""
    polygon = _one_of(rng, polygons)
    widths = random_widths(rng) if widths is None else widths
    chosen = [_one_of(rng, activations) for _ in widths]
    layers = [gaussian] * len(widths)
    return build(rng, polygon, layers, widths, chosen, dtype=dtype), polygon


def mixture(rng: Rng) -> Example:
    """Another family and another activation per layer, on any slice, in float64 or float32."""
    polygon = _one_of(rng, [*POLYGONS, *POLYGONS, *DOMAINS])
    widths = random_widths(rng)
    activations = [_one_of(rng, ["relu"] * 6 + list(ACTIVATIONS)) for _ in widths]
    dtype = _one_of(rng, [torch.float64] * 3 + [torch.float32])
    model = build(rng, polygon, _any_layers(rng, widths), widths, activations, dtype=dtype)
    return model, polygon


def relocated(rng: Rng, places: Sequence[tuple[float, Sequence[float]]]) -> Example:
    """A mixture around the origin, moved elsewhere; exactly so by powers of two."""
    polygon = _one_of(rng, POLYGONS)
    widths = random_widths(rng)
    layers, activations = _any_layers(rng, widths), _any_activations(rng, len(widths))
    return relocate(
        build(rng, polygon, layers, widths, activations), polygon, *_one_of(rng, places)
    )


def _any_layers(rng: Rng, widths: Sequence[int]) -> list[LayerFamily]:
    options = [family for family in LAYER_FAMILIES.values() if family is not constant]
    return [_one_of(rng, options) for _ in widths]


def tent(rng: Rng) -> Example:
    """Fold the unit square k times along both axes: 4^k regions, all of them squares."""
    return tent_map(int(rng.integers(1, 4))), UNIT_SQUARE


def tent_map(n_folds: int) -> nn.Sequential:
    """Apply ``t -> 2 relu(t) - 4 relu(t - 1/2)`` to each coordinate ``n_folds`` times."""
    split = np.kron(np.eye(2), [[1.0], [1.0]])
    fold = np.kron(np.eye(2), [[2.0, -4.0]])
    offset = np.array([0, -0.5, 0, -0.5])
    modules: list[nn.Module] = []
    for weight in [split] + [split @ fold] * (n_folds - 1):
        modules += [linear(weight, offset, torch.float64), nn.ReLU()]
    return nn.Sequential(*modules, linear(fold, np.zeros(2), torch.float64))


def many_concurrent(rng: Rng, layer: LayerFamily = concurrent) -> Example:
    """Three to thirty-two lines of the first layer through one point, and a layer on top."""
    polygon = _one_of(rng, POLYGONS)
    widths = [int(rng.integers(3, 33)), 2]
    return build(rng, polygon, [layer, integer], widths, ["relu", "relu"]), polygon


def saturated(rng: Rng) -> Example:
    """Hard-tanh with both breakpoints in the slice, and breakpoints that coincide."""
    polygon = _one_of(rng, POLYGONS)
    widths = random_widths(rng)
    activations = ["hardtanh"] * len(widths)
    return build(rng, polygon, [parallel] * len(widths), widths, activations), polygon


def interrupted(rng: Rng) -> Example:
    """A constant layer among others: nothing after it depends on the slice."""
    polygon = _one_of(rng, POLYGONS)
    layers = [integer, constant, integer]
    return build(rng, polygon, layers, [4, 3, 3], _any_activations(rng, 3)), polygon


def of_layers(layer: LayerFamily) -> Family:
    """Make the family of networks all of whose layers are of one family."""

    def family(rng: Rng) -> Example:
        polygon = _one_of(rng, POLYGONS)
        widths = random_widths(rng)
        dtype = _one_of(rng, [torch.float64] * 4 + [torch.float32])
        activations = _any_activations(rng, len(widths))
        model = build(rng, polygon, [layer] * len(widths), widths, activations, dtype=dtype)
        return model, polygon

    return family


GENERIC: dict[str, Family] = {
    **{f"generic_{name}": partial(generic, activations=[name]) for name in ACTIVATIONS},
    "generic_mixed": partial(generic, activations=list(ACTIVATIONS)),
    "generic_shallow": partial(generic, widths=[20]),
    "generic_deep": partial(generic, widths=[5, 5, 4, 4, 4]),
    "generic_float32": partial(generic, activations=["relu", "prelu"], dtype=torch.float32),
    "generic_tiny": partial(generic, polygons=[TINY]),
    "generic_huge": partial(generic, polygons=[HUGE]),
}

FAMILIES: dict[str, Family] = {
    **GENERIC,
    **{name: of_layers(layer) for name, layer in LAYER_FAMILIES.items() if layer is not gaussian},
    "generic_far": partial(generic, polygons=[FAR, TINY_OFFSET]),
    "many_concurrent": many_concurrent,
    "many_nearly_concurrent": partial(many_concurrent, layer=nearly_concurrent),
    "saturated": saturated,
    "interrupted": interrupted,
    "tent": tent,
    "far": partial(relocated, places=[(1, (1e6, -1e6)), (1, (2.0**20, 2.0**20))]),
    "tiny": partial(
        relocated, places=[(1e-9, (0, 0)), (2.0**-30, (0, 0)), (2.0**-30, (0.25, 0.5))]
    ),
    "huge": partial(relocated, places=[(1e9, (0, 0)), (2.0**30, (0, 0))]),
}


def example(name: str, seed: int) -> Example:
    """Draw a network and a polygon of the named family, other seeds than the other families'."""
    return FAMILIES[name](np.random.default_rng([seed, *name.encode()]))
