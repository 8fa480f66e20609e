"""What the oracle finds, in the form of a `Partition`: for tests of what looks at partitions."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from oracle import OraclePartition
from splinecam import Slice
from splinecam.partition.partition import EdgeFlips


class OracleAsPartition:
    """The attributes of a `Partition` that do not depend on how it was computed.

    Parameters
    ----------
    expected : OraclePartition
    slice_ : Slice
    layer_names : sequence of str
    """

    def __init__(self, expected: OraclePartition, slice_: Slice, layer_names: Any):
        self.slice = slice_
        self.layer_names = tuple(layer_names)
        layers = np.array([layer for layer, _ in expected.network.units], int)
        self.layer_sizes = tuple(np.bincount(layers, minlength=len(self.layer_names)).tolist())
        self.vertices = np.array(expected.vertices, float)
        self.edges = np.array([edge.ends for edge in expected.edges])
        self.edge_regions = np.array([edge.regions for edge in expected.edges])
        self.all_patterns = np.array(expected.patterns, np.uint8).reshape(len(expected.loops), -1)
        self.flips = [sorted(edge.flips) for edge in expected.edges]
        first = [min(edge.flips, default=(-1, -1)) for edge in expected.edges]
        self.edge_layers, self.edge_units = np.array(first).T
        self.region_offsets = np.cumsum([0, *map(len, expected.loops)])
        self.region_vertices = np.concatenate(expected.loops)
        numbers = {}
        for number, (start, end) in enumerate(self.edges.tolist()):
            numbers[start, end], numbers[end, start] = 2 * number, 2 * number + 1
        self.region_halfedges = np.array(
            [
                numbers[side]
                for loop in expected.loops
                for side in zip(loop, loop[1:] + loop[:1], strict=True)
            ]
        )
        self.areas = np.array(expected.areas, float)
        self.maps = [np.array(part, float) for part in zip(*expected.affine_maps, strict=True)]

    n_regions = property(lambda self: len(self.areas))
    n_vertices = property(lambda self: len(self.vertices))
    n_edges = property(lambda self: len(self.edges))
    n_units = property(lambda self: self.all_patterns.shape[1])

    @property
    def perimeters(self) -> np.ndarray:
        ends = self.vertices[self.edges[self.region_halfedges >> 1]]
        lengths = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
        return np.add.reduceat(lengths, self.region_offsets[:-1])

    @cached_property
    def edge_flips(self) -> EdgeFlips:
        first = np.cumsum([0, *self.layer_sizes])
        patterns = self.all_patterns.astype(int)
        rows = []
        for edge, flips in enumerate(self.flips):
            for layer, unit in flips:
                left, right = patterns[self.edge_regions[edge], first[layer] + unit]
                rows.append((edge, layer, unit, np.sign(left - right)))
        return EdgeFlips(*np.array(rows, int).reshape(-1, 4).T)

    def patterns(self, regions: Any = slice(None)) -> np.ndarray:
        return self.all_patterns[regions]

    def affine_maps(self) -> list[np.ndarray]:
        return self.maps

    def check_invariants(self) -> None:
        """The oracle has checked itself."""
