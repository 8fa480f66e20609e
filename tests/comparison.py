"""A `Partition` against the exact oracle's, and against the model itself.

The two partitions number everything differently; regions are matched through their patterns, which
are unique, and vertices through the edges between matched regions.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

import oracle
from oracle import OraclePartition, read_sequential
from splinecam import Partition, Slice, compute_partition

RTOL = 1e-8
"""Error of coordinates relative to the slice's extent; crossing lines may be nearly parallel."""

ARRAYS = (
    *("vertices", "edges", "edge_regions", "edge_hinges"),
    *("shared_edges", "shared_hinges", "region_offsets", "region_halfedges", "root_pattern"),
)

BREAKPOINTS: dict[str, Callable[[Any], list[float]]] = {
    "ReLU": lambda module: [0],
    "LeakyReLU": lambda module: [0],
    "PReLU": lambda module: [0],
    "Abs": lambda module: [0],
    "Hardtanh": lambda module: [module.min_val, module.max_val],
    "ReLU6": lambda module: [0, 6],
    "Softshrink": lambda module: [-module.lambd, module.lambd],
}


def default_mlp(*widths: int) -> nn.Sequential:
    """`nn.Linear` as torch initialises it after ``manual_seed(0)``, with ReLU between."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        modules = [m for k, n in pairwise(widths) for m in (nn.Linear(k, n), nn.ReLU())]
    return nn.Sequential(*modules[:-1])


def planar_slice(polygon: Any) -> Slice:
    """The slice of a model with two inputs."""
    return Slice(np.zeros(2), np.eye(2), polygon)


def on(model: nn.Module, polygon: Any, **options: Any) -> Partition:
    """Compute the partition of a polygon in the input space of a model with two inputs."""
    return compute_partition(model, planar_slice(polygon), **options)


# --- against the oracle ---------------------------------------------------------------------


def assert_exact(p: Partition, model: nn.Module) -> None:
    """Assert that a partition is the oracle's."""
    p.check_invariants()
    network = read_sequential(model, origin=p.slice.origin, basis=p.slice.basis)
    expected = oracle.partition(network, p.slice.polygon)
    assert_same_structure(p, expected)
    assert_same_geometry(p, expected)


def assert_same_structure(p: Partition, expected: OraclePartition) -> None:
    """Assert equality of everything that is no float."""
    assert p.n_regions == expected.n_regions
    assert p.n_vertices == expected.n_vertices
    assert p.n_edges == expected.n_edges
    assert Counter(map(tuple, p.patterns().tolist())) == Counter(expected.patterns)
    regions, vertices = match_regions(p, expected), match_vertices(p, expected)
    interior = p.edge_regions[:, 1] >= 0
    outer = Counter(regions[p.edge_regions[~interior, 0]].tolist())
    assert outer == Counter(e.regions[0] for e in expected.edges if e.regions[1] < 0)
    pairs = {frozenset(pair.tolist()) for pair in regions[p.edge_regions[interior]]}
    assert pairs == expected.adjacency
    for region, loop in enumerate(loops(p)):
        assert rotated(vertices[loop].tolist()) == rotated(expected.loops[regions[region]])


def match_regions(p: Partition, expected: OraclePartition) -> np.ndarray:
    """Give each region the number that it has with the oracle, by its pattern."""
    numbers = {pattern: number for number, pattern in enumerate(expected.patterns)}
    return np.array([numbers[tuple(pattern)] for pattern in p.patterns().tolist()])


def match_vertices(p: Partition, expected: OraclePartition) -> np.ndarray:
    """Give each vertex the number that it has with the oracle; check edges on the way.

    An edge runs so that its first region is on its left, so its ends can be told apart; its first
    unit, if it has breakpoints, is greater there. Only corners of the slice can be without an
    interior edge; they are told by their coordinates.
    """
    numbers = np.full(p.n_vertices, -1)
    regions, patterns = match_regions(p, expected), p.patterns().astype(int)
    first_units, groups = np.cumsum([0, *p.layer_sizes]), expected.network.groups
    expected_edges = {frozenset(edge.regions): edge for edge in expected.interior_edges}
    for edge in np.flatnonzero(p.edge_regions[:, 1] >= 0).tolist():
        left, right = p.edge_regions[edge]
        partner = expected_edges[frozenset((regions[left].item(), regions[right].item()))]
        layer, unit = p.edge_layers[edge], p.edge_units[edge]
        assert (layer, unit) == min(partner.flips)
        change = patterns[left] - patterns[right]
        flips = flips_of(p, edge)
        assert [(layer, unit) for layer, unit, _ in flips] == sorted(partner.flips)
        steps = [(change[first_units[k] + n], s) for k, n, s in flips if k not in groups]
        assert all(found == expected for found, expected in steps)
        assert layer in groups or steps[0] == (1, 1)
        same_way = partner.regions[0] == regions[left]
        ends = partner.ends if same_way else partner.ends[::-1]
        for vertex, number in zip(p.edges[edge], ends, strict=True):
            assert numbers[vertex] in (-1, number)
            numbers[vertex] = number
    corners = set(range(expected.n_vertices)) - set(numbers.tolist())
    at = {tuple(map(float, expected.vertices[number])): number for number in corners}
    for vertex in np.flatnonzero(numbers < 0):
        numbers[vertex] = at[tuple(p.vertices[vertex].tolist())]
    assert len(set(numbers.tolist())) == p.n_vertices
    return numbers


def flips_of(p: Partition, edge: int) -> list[tuple[int, int, int]]:
    """List the layers, units and steps that `edge_flips` has for an edge."""
    flips = p.edge_flips
    own = slice(*np.searchsorted(flips.edges, [edge, edge + 1]))
    return list(
        zip(
            *(array[own].tolist() for array in (flips.layers, flips.units, flips.steps)),
            strict=True,
        )
    )


def assert_same_geometry(p: Partition, expected: OraclePartition) -> None:
    """Assert that vertices, areas and affine maps are right up to rounding."""
    regions, vertices = match_regions(p, expected), match_vertices(p, expected)
    exact = np.array(expected.vertices, dtype=float)
    extent = np.ptp(exact, axis=0).max()
    atol = RTOL * extent + 1000 * np.spacing(np.abs(exact).max())
    assert_near(p.vertices, exact[vertices], atol)
    areas = np.array(expected.areas, dtype=float)
    assert_near(p.areas, areas[regions], 4 * extent * atol)
    expected_maps = zip(*expected.affine_maps, strict=True)
    terms = expected.network.largest_terms()
    for found, parts, largest in zip(p.affine_maps(), expected_maps, terms, strict=True):
        exact = np.array([part.astype(float) for part in parts])
        assert (np.abs(found - exact[regions]) <= 1e-13 * largest).all()


def assert_near(found: np.ndarray, exact: np.ndarray, atol: float) -> None:
    np.testing.assert_allclose(found, exact, rtol=0, atol=atol)


def loops(p: Partition) -> list[np.ndarray]:
    """The vertices of each region."""
    return np.split(p.region_vertices, p.region_offsets[1:-1])


def rotated(loop: Any) -> tuple[int, ...]:
    """Start a loop at its least number."""
    start = int(np.argmin(loop))
    return (*loop[start:], *loop[:start])


# --- against the model ----------------------------------------------------------------------


def observe(model: nn.Module, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Run the model in float64; see by forward hooks the patterns at inputs, and the outputs."""
    counts: list[torch.Tensor] = []

    def count_exceeded(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        (z,) = inputs
        limits = BREAKPOINTS[type(module).__name__](module)
        exceeded = torch.stack([z > limit for limit in limits])
        counts.append(exceeded.sum(dim=0).flatten(1))

    observed = copy.deepcopy(model).double().eval()
    for module in observed.modules():
        if type(module).__name__ in BREAKPOINTS:
            module.register_forward_hook(count_exceeded)
    with torch.no_grad():
        outputs = observed(torch.tensor(points)).flatten(1).numpy()
    patterns = torch.cat(counts, 1).numpy() if counts else np.zeros((len(points), 0), int)
    return patterns, outputs


def assert_agrees_with_model(p: Partition, model: nn.Module) -> None:
    """Assert what can be seen without an oracle: soundness, labels, the model's own forward."""
    p.check_invariants()
    patterns, (slopes, offsets) = p.patterns(), p.affine_maps()
    assert_labels(p, patterns)
    seen, outputs = observe(model, p.slice.embed(p.centroids))
    np.testing.assert_array_equal(patterns, seen)
    scale = np.abs(outputs).max() + np.ptp(outputs)
    assert_near(apply(slopes, offsets, p.centroids), outputs, 1e-9 * scale)
    left, right = p.edge_regions[p.edge_regions[:, 1] >= 0].T
    for end in p.edges[p.edge_regions[:, 1] >= 0].T:
        from_left, from_right = (
            apply(slopes[side], offsets[side], p.vertices[end]) for side in (left, right)
        )
        assert_near(from_left, from_right, 1e-9 * scale)
    np.testing.assert_array_equal(p.locate(p.centroids), np.arange(p.n_regions))


def assert_labels(p: Partition, patterns: np.ndarray) -> None:
    """Assert that the patterns differ across each edge in its unit alone, greater on its left."""
    assert len({pattern.tobytes() for pattern in patterns}) == p.n_regions
    interior = np.flatnonzero(p.edge_regions[:, 1] >= 0)
    left, right = p.edge_regions[interior].T
    units = np.cumsum([0, *p.layer_sizes])[p.edge_layers[interior]] + p.edge_units[interior]
    change = patterns[left].astype(np.int8) - patterns[right].astype(np.int8)
    assert (change[np.arange(len(interior)), units] == 1).all()
    assert (np.count_nonzero(change, axis=1) == 1).all()


def apply(slopes: np.ndarray, offsets: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values (n, out) of the n-th map at the n-th point."""
    return np.einsum("noi,ni->no", slopes, points) + offsets


# --- against another partition --------------------------------------------------------------


def assert_identical(p: Partition, q: Partition) -> None:
    """Assert that two partitions are equal bit for bit."""
    for name in ARRAYS:
        found, expected = getattr(p, name), getattr(q, name)
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        assert found.tobytes() == expected.tobytes(), name
