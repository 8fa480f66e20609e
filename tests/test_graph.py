"""The adjacency graph: hand-made grids, and the definition applied to all pairs of regions."""

from itertools import combinations

import networkx as nx
import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from torch import nn

from splinecam import Slice, compute_partition
from splinecam.errors import InvalidArgumentError
from splinecam.measures.graph import adjacency_graph, hop_distances
from strategies import sliced_networks

Cell = tuple[int, int]


def lines(xs: list[float], ys: list[float]) -> nn.Sequential:
    """Return units that vanish on vertical and horizontal lines, those at `xs` first."""
    layer = nn.Linear(2, len(xs) + len(ys), dtype=torch.float64)
    weight = [(1.0, 0.0)] * len(xs) + [(0.0, 1.0)] * len(ys)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        layer.bias.copy_(-torch.tensor([*xs, *ys]))
    return nn.Sequential(layer, nn.ReLU())


def test_region_without_neighbours_is_a_node_without_edges():
    graph = adjacency_graph(compute_partition(lines([5.0], []), Slice.box((0, 2), (0, 1))))
    assert dict(graph.nodes(data=True)) == {0: {"area": 2.0, "class": 0, "slope_norm": 0.0}}
    assert not graph.edges


def test_grid_of_lines_gives_a_grid_graph():
    partition = compute_partition(lines([1.0, 2.0, 3.0], [2.0]), Slice.box((0, 4), (0, 5)))
    graph = adjacency_graph(partition)
    cells: dict[int, Cell] = {
        region: (int(u), int(v > 2)) for region, (u, v) in enumerate(partition.centroids)
    }
    grid = nx.relabel_nodes(graph, cells)
    expected = nx.grid_2d_graph(4, 2)
    assert nx.utils.graphs_equal(nx.Graph(grid.edges), nx.Graph(expected.edges))
    assert {cell: grid.nodes[cell]["area"] for cell in grid} == pytest.approx(
        {(i, j): (2.0, 3.0)[j] for i, j in expected}
    )
    for a, b, attributes in graph.edges(data=True):
        (i, j), (k, _) = cells[a], cells[b]
        upright = i != k
        assert attributes["unit"] == (min(i, k) if upright else 3)
        assert attributes["length"] == pytest.approx((2.0, 3.0)[j] if upright else 1.0)
        assert attributes["layer"] == 0


@settings(deadline=None, max_examples=15)
@given(sliced_networks())
def test_regions_are_joined_iff_they_share_more_than_a_point(example):
    model, polygon = example
    partition = compute_partition(model, Slice(np.zeros(2), np.eye(2), polygon))
    graph = adjacency_graph(partition)
    # Borders have the vertices of both sides in common, so that shapely finds them exactly.
    tree = shapely.STRtree(partition.polygons)
    left, right = tree.query(partition.polygons, predicate="intersects")
    shared = shapely.length(
        shapely.intersection(
            shapely.boundary(partition.polygons[left]), shapely.boundary(partition.polygons[right])
        )
    )
    borders = {
        (int(a), int(b)): length
        for a, b, length in zip(left, right, shared, strict=True)
        if a < b and length > 0
    }
    lengths = {(min(a, b), max(a, b)): length for a, b, length in graph.edges(data="length")}
    assert lengths == pytest.approx(borders)


@settings(deadline=None, max_examples=15)
@given(sliced_networks())
def test_neighbours_differ_in_the_unit_of_their_edge(example):
    model, polygon = example
    partition = compute_partition(model, Slice(np.zeros(2), np.eye(2), polygon))
    graph = adjacency_graph(partition)
    patterns = partition.patterns().astype(int)
    first_units = np.cumsum([0, *partition.layer_sizes])
    for a, b, attributes in graph.edges(data=True):
        (changed,) = np.flatnonzero(patterns[a] != patterns[b])
        assert changed == first_units[attributes["layer"]] + attributes["unit"]
        assert abs(patterns[a, changed] - patterns[b, changed]) == 1


@pytest.fixture(scope="module")
def partition():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(2, 20), nn.ReLU(), nn.Linear(20, 20), nn.ReLU())
    return compute_partition(model, Slice.box((-1, 1), (-1, 1)))


def test_graph_is_connected_and_planar_and_has_all_inner_edges(partition):
    graph = adjacency_graph(partition)
    assert list(graph) == list(range(partition.n_regions))
    assert graph.number_of_edges() == np.count_nonzero(partition.edge_regions[:, 1] >= 0)
    assert nx.is_connected(graph)
    assert nx.is_planar(graph)


def test_attributes_are_python_numbers(partition):
    graph = adjacency_graph(partition)
    attributes = [item for *_, data in graph.edges(data=True) for item in data.items()]
    kinds = {(name, type(value)) for name, value in attributes}
    assert kinds == {
        *(("length", float), ("layer", int), ("unit", int), ("units", tuple)),
        ("slope_change", float),
    }
    assert {type(region) for region in graph} == {int}
    assert {type(region) for edge in graph.edges for region in edge} == {int}
    kinds = {(name, type(v)) for _, data in graph.nodes(data=True) for name, v in data.items()}
    assert kinds == {("area", float), ("class", int), ("slope_norm", float)}


def test_attributes_are_those_of_the_maps(partition):
    graph = adjacency_graph(partition)
    slopes, offsets = partition.affine_maps()
    centroids = partition.centroids
    values = np.einsum("rcd,rd->rc", slopes, centroids) + offsets
    for region, data in graph.nodes(data=True):
        assert data["class"] == values[region].argmax()
        assert data["slope_norm"] == pytest.approx(np.linalg.norm(slopes[region]))
    for a, b, data in graph.edges(data=True):
        assert data["slope_change"] == pytest.approx(np.linalg.norm(slopes[a] - slopes[b]))
        assert data["units"] == ((data["layer"], data["unit"]),)


def test_edges_of_several_units_name_them_all():
    graph = adjacency_graph(compute_partition(lines([1.0, 1.0], []), Slice.box((0, 2), (0, 1))))
    assert graph.edges[0, 1]["units"] == ((0, 0), (0, 1))
    assert graph.edges[0, 1]["unit"] == 0


def test_hops_are_the_graphs_shortest_paths(partition):
    rng = np.random.default_rng(3)
    sources, targets = rng.uniform(-1, 1, (4, 2)), rng.uniform(-1, 1, (5, 2))
    sources[1] = sources[0]
    hops = hop_distances(partition, sources, targets)
    graph = adjacency_graph(partition)
    for i, a in enumerate(partition.locate(sources)):
        for j, b in enumerate(partition.locate(targets)):
            assert hops[i, j] == nx.shortest_path_length(graph, a, b)
    assert hops.dtype == np.int64


def test_hops_in_the_same_region_and_of_no_points(partition):
    assert hop_distances(partition, [(0.1, 0.1)], [(0.1, 0.1)]).tolist() == [[0]]
    assert hop_distances(partition, np.empty((0, 2)), [(0.1, 0.1)]).shape == (0, 1)


def test_hops_to_a_point_outside_are_refused(partition):
    with pytest.raises(InvalidArgumentError, match=r"targets holds \(3.0, 0.0\)"):
        hop_distances(partition, [(0.0, 0.0)], [(0.5, 0.0), (3.0, 0.0)])


def test_paths_between_regions_cross_at_least_the_units_that_differ(partition):
    graph = adjacency_graph(partition)
    patterns = partition.patterns()
    chosen = np.random.default_rng(0).choice(partition.n_regions, 12, replace=False).tolist()
    for a, b in combinations(chosen, 2):
        hops = nx.shortest_path_length(graph, a, b)
        assert hops >= np.count_nonzero(patterns[a] != patterns[b])
