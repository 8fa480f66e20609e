"""Segments: one-dimensional slices, and where a model bends and decides along them.

The network on a segment is a function of one parameter t. It is handed to the engine as a function
of (t, s) on the unit square that does not depend on s: its regions are then strips, in the order of
t, and the engine's exact decisions hold for them, whatever coincides or vanishes on the segment.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order
from torch import Tensor, nn
from torch.nn import functional

from splinecam.common.arguments import as_float64, check_integer, real_array
from splinecam.common.types import Floats, Ints
from splinecam.convert import convert
from splinecam.engine import compute_partition
from splinecam.errors import InvalidArgumentError, InvalidSliceError
from splinecam.measures.boundary import decision_boundary
from splinecam.measures.held import held_values, program_of
from splinecam.partition.partition import Partition
from splinecam.slices import Slice

GRADIENT_ENTRIES = 2**24
"""Entries of inputs, or of activations, that are differentiated at a time."""


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Segment:
    """The straight way from one input to another.

    The point at t, 0 to 1, is ``start + t * direction``, with the floats that the segment stores.

    Parameters
    ----------
    start, stop : array_like
        (*input_shape), two different inputs.

    Attributes
    ----------
    start, direction : ndarray
        (D,) float64, read-only: the first input, flattened, and the difference of the two.
    input_shape : tuple of int
        The shape of one input, without the batch.

    Raises
    ------
    InvalidSliceError
        If the inputs are not finite real numbers of one shape, or are the same.

    Examples
    --------
    >>> from splinecam import Segment
    >>> segment = Segment([0.0, 0.0], [3.0, 4.0])
    >>> segment
    <Segment of R^2, input shape (2,): length 5>
    >>> segment.embed([0.0, 0.5]).tolist()
    [[0.0, 0.0], [1.5, 2.0]]
    """

    start: Floats
    direction: Floats
    input_shape: tuple[int, ...]

    def __init__(self, start: ArrayLike, stop: ArrayLike):
        first, last = real_array("start", start), real_array("stop", stop)
        if first.shape != last.shape or not first.size:
            raise InvalidSliceError(
                f"start and stop have shapes {first.shape} and {last.shape}; accepted: one shape"
            )
        origin = first.astype(np.float64).ravel()
        direction = last.astype(np.float64).ravel() - origin
        if not direction.any():
            raise InvalidSliceError("start and stop are the same input; accepted: two inputs")
        for array in (origin, direction):
            array.setflags(write=False)
        object.__setattr__(self, "start", origin)
        object.__setattr__(self, "direction", direction)
        object.__setattr__(self, "input_shape", first.shape or (1,))

    def __repr__(self) -> str:
        return (
            f"<Segment of R^{self.start.size}, input shape {self.input_shape}: "
            f"length {self.length:.6g}>"
        )

    @property
    def length(self) -> float:
        """Distance of the two inputs."""
        return float(np.linalg.norm(self.direction))

    def embed(self, t: ArrayLike) -> Floats:
        """Return the inputs (n, *input_shape) at parameters (n,)."""
        parameters = as_float64("t", t, ("n",), InvalidArgumentError)
        points = self.start + parameters[:, None] * self.direction
        return points.reshape(-1, *self.input_shape)


class Breaks(NamedTuple):
    """Which units change along a segment, one entry for each breakpoint and unit."""

    breakpoints: Ints
    """(n,) int64, ascending: indices into `SegmentPartition.breakpoints`."""
    layers: Ints
    """(n,) int64, indices into `SegmentPartition.layer_names`."""
    units: Ints
    """(n,) int64, within the layer."""
    steps: Ints
    """(n,) int64: the unit's pattern behind the breakpoint minus that before it."""


class Decisions(NamedTuple):
    """The classes along a segment."""

    breakpoints: Floats
    """(k + 1,) float64, ascending from 0 to 1: where the class changes, and the ends."""
    classes: Ints
    """(k,) int64: the class between one and the next."""


@dataclass(frozen=True, eq=False, repr=False)
class SegmentPartition:
    """The linear pieces of a network along a segment; made by `compute_segment_partition`.

    Attributes
    ----------
    segment : Segment
        The segment.
    breakpoints : ndarray
        (m + 1,) float64, ascending from 0 to 1: where some unit changes, and the ends.
    values : ndarray
        (m + 1, out) float64: the flattened outputs there.
    slopes : ndarray
        (m, out) float64: derivatives of the outputs by t between one and the next.
    patterns : ndarray
        (m, n_units) unsigned int, the activation pattern there; see `Partition.patterns`.
    breaks : Breaks
        Which units change at which breakpoint.
    layer_names : tuple of str
        The piecewise-linear steps in execution order, named as in the model.
    layer_sizes : tuple of int
        Number of units of each step.
    """

    segment: Segment
    breakpoints: Floats
    values: Floats
    slopes: Floats
    patterns: NDArray[np.uint8]
    breaks: Breaks
    layer_names: tuple[str, ...]
    layer_sizes: tuple[int, ...]
    _strips: Partition  # of the unit square of (t, s)
    _order: Ints  # its regions by t

    def __post_init__(self) -> None:
        for array in (self.breakpoints, self.values, self.slopes, self.patterns, *self.breaks):
            array.setflags(write=False)

    def __repr__(self) -> str:
        n = len(self.slopes)
        return (
            f"<SegmentPartition: {n:,} piece{'' if n == 1 else 's'}, "
            f"{len(self.breaks.units):,} of {sum(self.layer_sizes):,} units' breakpoints>"
        )

    @property
    def n_pieces(self) -> int:
        """Number of linear pieces."""
        return len(self.slopes)

    @cached_property
    def decisions(self) -> Decisions:
        """Where the class changes along the segment, exactly.

        Classes are those of `decision_boundary`: the greatest output, the lowest of several, or
        whether a single output is positive.
        """
        boundary = decision_boundary(self._strips)
        starts = np.minimum.reduceat(boundary.piece_vertices[:, 0], boundary.piece_offsets[:-1])
        places = np.empty(self.n_pieces, np.int64)
        places[self._order] = np.arange(self.n_pieces)
        order = np.lexsort([starts, places[boundary.piece_regions]])
        classes = boundary.piece_classes[order]
        changes = np.append(True, classes[1:] != classes[:-1])
        edges = np.append(np.maximum.accumulate(starts[order])[changes], 1.0)
        return Decisions(edges, classes[changes])


def compute_segment_partition(
    model: nn.Module, segment: Segment, *, max_pieces: int | None = None
) -> SegmentPartition:
    """Find all linear pieces of a model along a segment, exactly.

    Parameters
    ----------
    model : torch.nn.Module
        As for `compute_partition`.
    segment : Segment
        Where to look.
    max_pieces : int, optional
        Stop with `RegionLimitError` before there are more.

    Returns
    -------
    SegmentPartition
        Each piece has a pattern of its own; pieces next to each other may have the same affine
        map, if what changes does not reach the output.

    Raises
    ------
    InvalidArgumentError
        If `segment` is none.
    UnsupportedLayerError, InvalidModelError, RegionLimitError
        As `compute_partition` raises them.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = model[0].weight.copy_(torch.eye(2)), model[0].bias.zero_()
    >>> line = sc.compute_segment_partition(model, sc.Segment([-1.0, -3.0], [1.0, 1.0]))
    >>> line.breakpoints.tolist(), line.values.tolist()
    ([0.0, 0.5, 0.75, 1.0], [[0.0, 0.0], [0.0, 0.0], [0.5, 0.0], [1.0, 1.0]])
    >>> line.breaks.units.tolist(), line.decisions.breakpoints.tolist()
    ([0, 1], [0.0, 1.0])
    """
    if not isinstance(segment, Segment):
        raise InvalidArgumentError(f"segment is a {type(segment).__name__}; accepted: a Segment")
    # The model alone, first: errors and names are in its own terms.
    program = convert(model, segment.input_shape)
    square = Slice.box((0, 1), (0, 1))
    strips = compute_partition(_Along(segment, model), square, max_regions=max_pieces)
    order = _order_along(strips)
    slopes, offsets = strips.affine_maps(order)
    breakpoints, breaks = _breaks(strips, order)
    slopes = np.ascontiguousarray(slopes[:, :, 0])
    values = slopes * breakpoints[:-1, None] + offsets
    return SegmentPartition(
        segment=segment,
        breakpoints=breakpoints,
        values=np.vstack([values, slopes[-1] + offsets[-1]]),
        slopes=slopes,
        patterns=strips.patterns(order),
        breaks=breaks,
        layer_names=tuple(step.name for step in program.piecewise_steps),
        layer_sizes=strips.layer_sizes,
        _strips=strips,
        _order=order,
    )


def integrated_gradients(model: nn.Module, line: SegmentPartition, output: int) -> Floats:
    r"""Attribute the change of an output along a segment to the input's entries, exactly.

    The attribution of entry i is :math:`d_i \int_0^1 \partial_i f(x + t d) \, dt`, d the segment's
    direction (Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks", ICML 2017,
    arXiv 1703.01365, eq. 1). The gradient is constant on each linear piece, so that the integral is
    a sum; the attributions add up to the change of the output (their proposition 1). On a piece
    on which a unit is zero, its slope is that below the breakpoint, as everywhere here.

    Parameters
    ----------
    model : torch.nn.Module
        The model that `line` is of.
    line : SegmentPartition
        Of the segment from the baseline to the input.
    output : int
        Which of the flattened outputs.

    Returns
    -------
    ndarray
        (*input_shape) float64.

    Raises
    ------
    InvalidArgumentError
        If there is no such output, or the model has other layers than `line`.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = model[0].weight.copy_(torch.tensor([[1.0, 2.0]])), model[0].bias.fill_(-1.0)
    >>> line = sc.compute_segment_partition(model, sc.Segment([0.0, 0.0], [1.0, 1.0]))
    >>> sc.integrated_gradients(model, line, 0).round(12).tolist()
    [0.666666666667, 1.333333333333]
    """
    check_integer("output", output, 0, line.values.shape[1] - 1)
    segment = line.segment
    program = program_of(model, segment.input_shape, line.layer_names, line.layer_sizes)
    lengths = np.diff(line.breakpoints)
    middles = line.breakpoints[:-1] + lengths / 2
    mean_gradient = np.zeros(segment.start.size)
    size = max(1, GRADIENT_ENTRIES // max([segment.start.size, *line.layer_sizes]))
    for start in range(0, line.n_pieces, size):
        some = slice(start, start + size)
        with torch.inference_mode(False), torch.enable_grad():
            x = torch.from_numpy(segment.embed(middles[some])).requires_grad_()
            outputs = held_values(program, x, line.patterns[some]).flatten(1)[:, output]
            weighted = (outputs * torch.from_numpy(lengths[some])).sum()
            (gradients,) = torch.autograd.grad(weighted, x)
        mean_gradient += gradients.flatten(1).sum(dim=0).numpy()
    return (mean_gradient * segment.direction).reshape(segment.input_shape)


class _Along(nn.Module):
    """A model as a function of (t, s): its output at t on a segment, whatever s."""

    def __init__(self, segment: Segment, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._shape = segment.input_shape
        columns = np.stack([segment.direction, np.zeros_like(segment.direction)], axis=1)
        self.register_buffer("weight", torch.from_numpy(columns))
        self.register_buffer("bias", torch.tensor(segment.start))

    def forward(self, ts: Tensor) -> Any:
        """Outputs at (t, s), (n, 2)."""
        points = functional.linear(ts, self.get_buffer("weight"), self.get_buffer("bias"))
        return self.model(points.reshape(-1, *self._shape))


def _order_along(strips: Partition) -> Ints:
    """The regions in the order of t: a way through the chain of neighbours."""
    inner = strips.edge_regions[strips.edge_hinges >= 0]
    chain = coo_array(
        (np.ones(len(inner), bool), (inner[:, 0], inner[:, 1])), shape=(strips.n_regions,) * 2
    )
    is_at_zero = (strips.vertices[strips.edges, 0] == 0).all(axis=1)
    (first,) = strips.edge_regions[is_at_zero & (strips.edge_hinges < 0), 0]
    order = breadth_first_order(chain.tocsr(), first, directed=False, return_predecessors=False)
    return order.astype(np.int64)


def _breaks(strips: Partition, order: Ints) -> tuple[Floats, Breaks]:
    """The parameters where units change, with the ends, and which units these are."""
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    flips = strips.edge_flips
    left, right = places[strips.edge_regions[flips.edges]].T
    behind = np.maximum(left, right)
    steps = np.where(left > right, flips.steps, -flips.steps).astype(np.int64)
    # Both ends of an edge are at the same t; that on the side s = 0 is taken.
    ends = strips.vertices[strips.edges[flips.edges]]
    on_side = ends[np.arange(len(ends)), ends[:, :, 1].argmin(axis=1), 0]
    breakpoints = np.zeros(len(order) + 1)
    breakpoints[behind] = on_side
    breakpoints[-1] = 1.0
    sequence = np.lexsort([flips.units, flips.layers, behind])
    columns = (behind, flips.layers.astype(np.int64), flips.units.astype(np.int64), steps)
    breaks = Breaks(*(column[sequence] for column in columns))
    return np.maximum.accumulate(breakpoints), breaks
