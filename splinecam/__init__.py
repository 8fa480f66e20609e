"""splinecam: the exact geometry of trained piecewise-linear networks.

Restrict a model to a slice of its input space with `Slice`, enumerate all of its linear regions
there with `compute_partition`, and measure and draw what the `Partition` says.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from splinecam._loading import load_model
from splinecam.boundary import DecisionBoundary, decision_boundary, level_set
from splinecam.complexity import LocalComplexity, local_complexity
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
from splinecam.graph import adjacency_graph
from splinecam.measure import region_statistics
from splinecam.partition import EdgeFlips, Partition
from splinecam.slices import Slice
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
    "Certificate",
    "ComplexityMap",
    "DecisionBoundary",
    "EdgeFlips",
    "InsufficientMemoryError",
    "InvalidArgumentError",
    "InvalidFileError",
    "InvalidModelError",
    "InvalidSliceError",
    "InvariantError",
    "LocalComplexity",
    "Partition",
    "RegionLimitError",
    "Slice",
    "SplineCamError",
    "UnsupportedLayerError",
    "adjacency_graph",
    "complexity_map",
    "compute_partition",
    "decision_boundary",
    "edge_density",
    "edge_length",
    "level_set",
    "load_model",
    "local_complexity",
    "mark_anchors",
    "new_figure",
    "plot_classes",
    "plot_decision_boundary",
    "plot_partition",
    "plot_thumbnails",
    "region_count",
    "region_statistics",
    "verify",
]

_PLOTTING = frozenset(name for name in __all__ if name.startswith(("plot_", "mark_", "new_")))


def __getattr__(name: str) -> Any:
    """Import matplotlib only when something is drawn."""
    if name in _PLOTTING:
        return getattr(import_module("splinecam.plotting"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
