"""Where the winning output changes: decision boundaries and level sets, exactly.

On a region every output is an affine function, so the class (the greatest output, the lowest of
several) is constant on convex pieces: the upper envelope of a few affine functions. Most regions
have one class at all their vertices, by a clear lead; such a region is one piece. Only the others
are cut.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real

import numpy as np

from splinecam.common.types import Floats, Ints
from splinecam.errors import InvalidArgumentError
from splinecam.measures.envelopes import (
    all_pieces,
    classes_of_clear_regions,
    cut_by_class,
    joined,
    segments_inside,
    segments_on_edges,
)
from splinecam.partition.partition import Partition


@dataclass(frozen=True, eq=False, repr=False)
class DecisionBoundary:
    """The classes on a slice and the boundary between them.

    Made by `decision_boundary` and `level_set`; every array is read-only. Segments that meet share
    their ends to the last bit.

    Parameters
    ----------
    partition : Partition
        The partition whose regions were cut.
    n_classes : int
        Number of classes.
    segments : ndarray
        (S, 2, 2) float64, ends of the boundary's segments in plane coordinates, directed so that
        the first class of `classes` is on the left.
    regions : ndarray
        (S,) int64, the region that holds each segment; the one on its left where it runs along an
        edge.
    classes : ndarray
        (S, 2) int64, the classes left and right of each segment; the left one is the lower.
    normals : ndarray
        (S, 2) float64, of length 1, at right angles to each segment, to the left. Inside regions
        that is the direction in which the lead of the left class grows, from the region's map, and
        right to rounding for short segments too.
    piece_regions : ndarray
        (P,) int64, ascending: the region that each piece is part of.
    piece_classes : ndarray
        (P,) int64.
    piece_areas : ndarray
        (P,) float64, in plane coordinates; of pieces too narrow for an area, what rounding leaves.
    piece_offsets : ndarray
        (P + 1,) int64, where each piece begins in `piece_vertices`.
    piece_vertices : ndarray
        (N, 2) float64, plane coordinates of the pieces' corners, counter-clockwise.
    """

    partition: Partition
    n_classes: int
    segments: Floats
    regions: Ints
    classes: Ints
    normals: Floats
    piece_regions: Ints
    piece_classes: Ints
    piece_areas: Floats
    piece_offsets: Ints
    piece_vertices: Floats

    def __post_init__(self) -> None:
        for array in vars(self).values():
            if isinstance(array, np.ndarray):
                array.setflags(write=False)

    def __repr__(self) -> str:
        n_segments, n_pieces = len(self.segments), len(self.piece_regions)
        return (
            f"<DecisionBoundary: {n_segments:,} segment{'' if n_segments == 1 else 's'} of total "
            f"length {self.length:.6g}; {n_pieces:,} piece{'' if n_pieces == 1 else 's'} of "
            f"{self.n_classes:,} classes>"
        )

    @cached_property
    def lengths(self) -> Floats:
        """(S,) float64: lengths of the segments in plane coordinates."""
        along = self.segments[:, 1] - self.segments[:, 0]
        lengths = np.hypot(along[:, 0], along[:, 1])
        lengths.setflags(write=False)
        return lengths

    @property
    def length(self) -> float:
        """Total length of the boundary in plane coordinates."""
        return float(self.lengths.sum())

    @cached_property
    def class_areas(self) -> Floats:
        """(n_classes,) float64: how much of the slice each class has, in plane coordinates."""
        areas = np.zeros(self.n_classes)
        np.add.at(areas, self.piece_classes, self.piece_areas)
        areas.setflags(write=False)
        return areas

    @property
    def class_shares(self) -> Floats:
        """(n_classes,) float64: the probability of each class, for points spread evenly."""
        return self.class_areas / self.class_areas.sum()


def decision_boundary(partition: Partition) -> DecisionBoundary:
    """Find where the model's decision changes, exactly.

    Two or more outputs: the class is the greatest output, and the boundary between two classes is
    where they are the top two, not just equal (SplineCam, Humayun et al., CVPR 2023, draws all
    pairs' zero sets, which is more). A single output: class 0 where it is 0 or less, class 1 where
    it is positive. Of outputs that tie over an area the lowest is the class, as for `torch.argmax`.

    Parameters
    ----------
    partition : Partition

    Returns
    -------
    DecisionBoundary

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> model = torch.nn.Linear(2, 2)
    >>> with torch.no_grad():
    ...     _ = model.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]])), model.bias.zero_()
    >>> p = sc.compute_partition(model, sc.Slice.box((0, 1), (0, 1)))
    >>> boundary = decision_boundary(p)
    >>> boundary.segments.tolist(), boundary.classes.tolist()
    ([[[1.0, 1.0], [0.0, 0.0]]], [[0, 1]])
    >>> boundary.class_areas.tolist()
    [0.5, 0.5]
    """
    n_outputs = partition.network.n_outputs
    if n_outputs == 1:
        return level_set(partition, 0, 0.0)
    return _decide(partition, np.eye(n_outputs), np.zeros(n_outputs))


def level_set(partition: Partition, output: int, value: float) -> DecisionBoundary:
    """Find where one output has a value, exactly.

    Class 0 is where the output is at most `value`, class 1 where it exceeds it; an area where they
    are equal belongs to class 0.

    Parameters
    ----------
    partition : Partition
    output : int
        Which of the flattened outputs.
    value : float

    Returns
    -------
    DecisionBoundary

    Raises
    ------
    InvalidArgumentError
        If there is no such output, or `value` is not a finite number.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> model = torch.nn.Linear(2, 1)
    >>> with torch.no_grad():
    ...     _ = model.weight.copy_(torch.tensor([[1.0, 0.0]])), model.bias.zero_()
    >>> p = sc.compute_partition(model, sc.Slice.box((0, 1), (0, 1)))
    >>> level_set(p, 0, 0.25)
    <DecisionBoundary: 1 segment of total length 1; 2 pieces of 2 classes>
    """
    network = partition.network
    if not isinstance(output, Integral) or not 0 <= output < network.n_outputs:
        raise InvalidArgumentError(
            f"output is {output!r}; accepted: an integer, 0 to {network.n_outputs - 1}"
        )
    if not isinstance(value, Real) or not math.isfinite(value):
        raise InvalidArgumentError(f"value is {value!r}; accepted: a finite number")
    weight = np.zeros((2, network.n_outputs))
    weight[1, output] = 1.0
    return _decide(partition, weight, np.array([float(value), 0.0]))


def _decide(partition: Partition, weight: Floats, bias: Floats) -> DecisionBoundary:
    """Cut the regions by the greatest row of ``weight @ output + bias``."""
    network = partition.network.with_outputs(weight, bias)
    # An output that repeats a lower one never wins.
    rows = np.column_stack([network.weight, network.bias])
    kept = np.sort(np.unique(rows, axis=0, return_index=True)[1])
    contest = partition.with_outputs(weight[kept], bias[kept])
    region_classes = classes_of_clear_regions(contest)
    cut = cut_by_class(contest, np.flatnonzero(region_classes < 0))
    segments = joined(
        segments_inside(contest, cut), segments_on_edges(contest, cut, region_classes)
    )
    pieces = all_pieces(contest, cut, region_classes)
    return DecisionBoundary(
        partition=partition,
        n_classes=network.n_outputs,
        segments=segments.ends,
        regions=segments.regions,
        classes=kept[segments.classes],
        normals=segments.normals,
        piece_regions=pieces.regions,
        piece_classes=kept[pieces.classes],
        piece_areas=pieces.areas,
        piece_offsets=pieces.offsets,
        piece_vertices=pieces.vertices,
    )
