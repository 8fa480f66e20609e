"""splinecam: the exact geometry of trained piecewise-linear networks.

Restrict a model to a slice of its input space with `Slice`, enumerate all of its linear regions
there with `compute_partition`, and measure and draw what the `Partition` says.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from splinecam.engine import compute_partition
from splinecam.errors import (
    ExecutorError,
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
from splinecam.partition.partition import EdgeFlips, Partition
from splinecam.slices import Slice

if TYPE_CHECKING:
    from splinecam._loading import load_model
    from splinecam.many_slices import compute_partitions
    from splinecam.measures.batchnorm import BatchNormFit, batch_norm_fit
    from splinecam.measures.boundary import DecisionBoundary, decision_boundary, level_set
    from splinecam.measures.complexity import LocalComplexity, local_complexity
    from splinecam.measures.curves import (
        BoundaryCurves,
        BoundarySamples,
        boundary_curves,
        boundary_distance,
        sample_boundary,
        units_near_boundary,
    )
    from splinecam.measures.distances import (
        NearestEdges,
        UnitDistances,
        nearest_edges,
        unit_distances,
    )
    from splinecam.measures.edges import bend_angles, layer_statistics, unit_statistics
    from splinecam.measures.graph import adjacency_graph, hop_distances
    from splinecam.measures.jacobians import input_jacobians, sample_agop, slice_agop
    from splinecam.measures.margins import region_margins
    from splinecam.measures.power import (
        PowerCheck,
        PowerDiagram,
        check_power_cells,
        layer_power_diagram,
        power_diagram,
    )
    from splinecam.measures.regions import region_statistics
    from splinecam.measures.segments import (
        Breaks,
        Decisions,
        Segment,
        SegmentPartition,
        compute_segment_partition,
        integrated_gradients,
    )
    from splinecam.measures.spline import RegionMaps, region_maps
    from splinecam.measures.statistics import (
        Histogram,
        RegionSummary,
        region_histogram,
        summarize_regions,
    )
    from splinecam.measures.tables import to_frame
    from splinecam.measures.windows import (
        ComplexityMap,
        complexity_map,
        edge_density,
        edge_length,
        region_count,
    )
    from splinecam.plotting import (
        Page,
        TrainingAnimation,
        animate_training,
        explore,
        mark_anchors,
        mark_classes,
        mark_coordinates,
        mark_scale,
        new_figure,
        origami_page,
        plot_classes,
        plot_comparison,
        plot_complexity,
        plot_decision_boundary,
        plot_edges,
        plot_graph,
        plot_layers,
        plot_origami,
        plot_partition,
        plot_points,
        plot_power_diagram,
        plot_slope_changes,
        plot_statistics,
        plot_thumbnails,
        plot_unit,
    )
    from splinecam.proof.verify import Certificate, verify
    from splinecam.recorder import Probe, Recorder, Snapshot, log_spaced_steps
    from splinecam.streaming.stream import PartitionStream
    from splinecam.streaming.totals import StreamTotals

__all__ = [
    "BatchNormFit",
    "BoundaryCurves",
    "BoundarySamples",
    "Breaks",
    "Certificate",
    "ComplexityMap",
    "DecisionBoundary",
    "Decisions",
    "EdgeFlips",
    "ExecutorError",
    "Histogram",
    "InsufficientMemoryError",
    "InvalidArgumentError",
    "InvalidFileError",
    "InvalidModelError",
    "InvalidSliceError",
    "InvariantError",
    "LocalComplexity",
    "NearestEdges",
    "Page",
    "Partition",
    "PartitionStream",
    "PowerCheck",
    "PowerDiagram",
    "Probe",
    "Recorder",
    "RegionLimitError",
    "RegionMaps",
    "RegionSummary",
    "Segment",
    "SegmentPartition",
    "Slice",
    "Snapshot",
    "SplineCamError",
    "StreamTotals",
    "TrainingAnimation",
    "UnitDistances",
    "UnsupportedLayerError",
    "adjacency_graph",
    "animate_training",
    "batch_norm_fit",
    "bend_angles",
    "boundary_curves",
    "boundary_distance",
    "check_power_cells",
    "complexity_map",
    "compute_partition",
    "compute_partitions",
    "compute_segment_partition",
    "decision_boundary",
    "edge_density",
    "edge_length",
    "explore",
    "hop_distances",
    "input_jacobians",
    "integrated_gradients",
    "layer_power_diagram",
    "layer_statistics",
    "level_set",
    "load_model",
    "local_complexity",
    "log_spaced_steps",
    "mark_anchors",
    "mark_classes",
    "mark_coordinates",
    "mark_scale",
    "nearest_edges",
    "new_figure",
    "origami_page",
    "plot_classes",
    "plot_comparison",
    "plot_complexity",
    "plot_decision_boundary",
    "plot_edges",
    "plot_graph",
    "plot_layers",
    "plot_origami",
    "plot_partition",
    "plot_points",
    "plot_power_diagram",
    "plot_slope_changes",
    "plot_statistics",
    "plot_thumbnails",
    "plot_unit",
    "power_diagram",
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
    "unit_distances",
    "unit_statistics",
    "units_near_boundary",
    "verify",
]

_LATER = {
    "_loading": "load_model",
    "many_slices": "compute_partitions",
    "measures.batchnorm": "BatchNormFit batch_norm_fit",
    "measures.boundary": "DecisionBoundary decision_boundary level_set",
    "measures.complexity": "LocalComplexity local_complexity",
    "measures.curves": (
        "BoundaryCurves BoundarySamples boundary_curves boundary_distance sample_boundary "
        "units_near_boundary"
    ),
    "measures.distances": "NearestEdges UnitDistances nearest_edges unit_distances",
    "measures.edges": "bend_angles layer_statistics unit_statistics",
    "measures.graph": "adjacency_graph hop_distances",
    "measures.jacobians": "input_jacobians sample_agop slice_agop",
    "measures.margins": "region_margins",
    "measures.power": "PowerCheck PowerDiagram check_power_cells layer_power_diagram power_diagram",
    "measures.regions": "region_statistics",
    "measures.segments": (
        "Breaks Decisions Segment SegmentPartition compute_segment_partition integrated_gradients"
    ),
    "measures.spline": "RegionMaps region_maps",
    "measures.statistics": "Histogram RegionSummary region_histogram summarize_regions",
    "measures.tables": "to_frame",
    "measures.windows": "ComplexityMap complexity_map edge_density edge_length region_count",
    "plotting": (
        "Page TrainingAnimation animate_training explore mark_anchors mark_classes "
        "mark_coordinates mark_scale new_figure origami_page plot_classes plot_comparison "
        "plot_complexity plot_decision_boundary plot_edges plot_graph plot_layers plot_origami "
        "plot_partition plot_points plot_power_diagram plot_slope_changes plot_statistics "
        "plot_thumbnails plot_unit"
    ),
    "proof.verify": "Certificate verify",
    "recorder": "Probe Recorder Snapshot log_spaced_steps",
    "streaming.stream": "PartitionStream",
    "streaming.totals": "StreamTotals",
}
"""Modules that are imported when one of their names is used, since partitions need none of them."""

_MODULES = {name: module for module, names in _LATER.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
