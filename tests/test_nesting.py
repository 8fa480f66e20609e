"""Levels of partitions, against the patterns of the first layers and the partitions by them."""

import numpy as np
import pytest
import shapely
import torch
from torch import nn

import splinecam as sc
from families import FAMILIES, example


def partition_of(model: nn.Sequential, polygon: np.ndarray) -> sc.Partition:
    return sc.compute_partition(model, sc.Slice(np.zeros(2), np.eye(2), polygon))


def small(name: str, seed: int) -> sc.Partition:
    return partition_of(*example(name, seed))


@pytest.mark.parametrize("name", FAMILIES)
def test_levels_are_the_partitions_by_the_first_layers(name):
    partition = small(name, 3)
    bounds = np.cumsum([0, *partition.layer_sizes])
    patterns = partition.patterns()
    regions = partition.edge_regions[partition.edge_regions[:, 1] >= 0]
    assert partition.nesting.labels[0].tolist() == [0] * partition.n_regions
    assert partition.nesting.labels[-1].tolist() == list(range(partition.n_regions))
    for level, labels in enumerate(partition.nesting.labels):
        head = patterns[:, : bounds[level]]
        same = (head[regions[:, 0]] == head[regions[:, 1]]).all(axis=1)
        np.testing.assert_array_equal(labels[regions[:, 0]] == labels[regions[:, 1]], same)
        # Regions of a level are convex: their number is that of their patterns.
        assert labels.max() + 1 == len(np.unique(head, axis=0)) == len(np.unique(labels))


def test_regions_of_a_level_are_convex_and_fill_the_slice():
    torch.manual_seed(1)
    layers = [nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU()]
    partition = sc.compute_partition(nn.Sequential(*layers), sc.Slice.box((-2, 2), (-2, 2)))
    head = sc.compute_partition(nn.Sequential(*layers[:4]), partition.slice)
    labels = partition.nesting.labels[2]
    assert labels.max() + 1 == head.n_regions
    unions = [shapely.union_all(partition.polygons[labels == k]) for k in range(head.n_regions)]
    np.testing.assert_allclose(np.sort(shapely.area(unions)), np.sort(head.areas), atol=1e-12)
    np.testing.assert_allclose(
        shapely.area(shapely.convex_hull(unions)), shapely.area(unions), atol=1e-12
    )


def test_children_follow_a_tree_whose_steps_cross_edges_of_their_layer():
    partition = small("generic_mixed", 5)
    nesting = partition.nesting
    for layer, children in enumerate(nesting.children):
        finer = nesting.labels[layer + 1]
        assert sorted(children.nodes.tolist()) == list(range(finer.max() + 1))
        for parent, (first, last) in enumerate(
            zip(children.offsets[:-1], children.offsets[1:], strict=True)
        ):
            group = children.nodes[first:last]
            assert (children.parents[group] == parent).all()
            assert children.predecessors[first] == children.crossed[first] == -1
            before = children.predecessors[first + 1 : last]
            assert (np.diff(before) >= 0).all()
            assert (before < np.arange(1, last - first)).all()
            crossed = children.crossed[first + 1 : last]
            assert (partition.edge_layers[crossed >> 1] == layer).all()
            sides = finer[partition.edge_regions[crossed >> 1]]
            to = crossed & 1
            rows = np.arange(len(to))
            assert (sides[rows, to] == group[1:]).all()
            assert (sides[rows, 1 - to] == group[before]).all()
        members = nesting.members[layer]
        assert (nesting.labels[layer][members] == np.arange(len(members))).all()
        assert (finer[members] == children.nodes[children.offsets[:-1]]).all()


def test_a_network_without_layers_has_one_level():
    partition = sc.compute_partition(nn.Linear(2, 3), sc.Slice.box((0, 1), (0, 1)))
    assert [labels.tolist() for labels in partition.nesting.labels] == [[0]]
    assert partition.nesting.children == ()
