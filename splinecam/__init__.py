"""splinecam: the exact geometry of trained piecewise-linear networks.

Restrict a model to a slice of its input space with `Slice`, enumerate all of its linear regions
there with `compute_partition`, and measure and draw what the `Partition` says.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from splinecam.boundary import DecisionBoundary, decision_boundary, level_set
from splinecam.complexity import LocalComplexity, local_complexity
from splinecam.curves import (
    BoundaryCurves,
    BoundarySamples,
    boundary_curves,
    boundary_distance,
    sample_boundary,
    units_near_boundary,
)
from splinecam.edges import bend_angles, layer_statistics, unit_statistics
from splinecam.engine import compute_partition
from splinecam.errors import (
    InsufficientMemoryError,
    InvalidArgumentError,
    InvalidFileError,
    InvalidModelError,
    InvalidSliceError,
    InvariantError,
    RegionLimitError,
    SplineCamError,
    UnsupportedLayerError,
)
from splinecam.graph import adjacency_graph, hop_distances
from splinecam.jacobians import input_jacobians, sample_agop, slice_agop
from splinecam.margins import region_margins
from splinecam.measure import region_statistics
from splinecam.partition import EdgeFlips, Partition
from splinecam.slices import Slice
from splinecam.spline import RegionMaps, region_maps
from splinecam.statistics import Histogram, RegionSummary, region_histogram, summarize_regions
from splinecam.tables import to_frame
from splinecam.verify import Certificate, verify
from splinecam.windows import (
    ComplexityMap,
    complexity_map,
    edge_density,
    edge_length,
    region_count,
)

if TYPE_CHECKING:
    from splinecam.plotting import (
        mark_anchors,
        new_figure,
        plot_classes,
        plot_decision_boundary,
        plot_partition,
        plot_thumbnails,
    )

__all__ = [
    "BoundaryCurves",
    "BoundarySamples",
    "Certificate",
    "ComplexityMap",
    "DecisionBoundary",
    "EdgeFlips",
    "Histogram",
    "InsufficientMemoryError",
    "InvalidArgumentError",
    "InvalidFileError",
    "InvalidModelError",
    "InvalidSliceError",
    "InvariantError",
    "LocalComplexity",
    "Partition",
    "RegionLimitError",
    "RegionMaps",
    "RegionSummary",
    "Slice",
    "SplineCamError",
    "UnsupportedLayerError",
    "adjacency_graph",
    "bend_angles",
    "boundary_curves",
    "boundary_distance",
    "complexity_map",
    "compute_partition",
    "decision_boundary",
    "edge_density",
    "edge_length",
    "hop_distances",
    "input_jacobians",
    "layer_statistics",
    "level_set",
    "local_complexity",
    "mark_anchors",
    "new_figure",
    "plot_classes",
    "plot_decision_boundary",
    "plot_partition",
    "plot_thumbnails",
    "region_count",
    "region_histogram",
    "region_maps",
    "region_margins",
    "region_statistics",
    "sample_agop",
    "sample_boundary",
    "slice_agop",
    "summarize_regions",
    "to_frame",
    "unit_statistics",
    "units_near_boundary",
    "verify",
]

_PLOTTING = frozenset(name for name in __all__ if name.startswith(("plot_", "mark_", "new_")))


def __getattr__(name: str) -> Any:
    """Import matplotlib only when something is drawn."""
    if name in _PLOTTING:
        return getattr(import_module("splinecam.plotting"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
