"""Pictures: matplotlib artists on axes of your choice.

`plot_partition`, `plot_classes`, `plot_edges`, `plot_slope_changes` and `plot_complexity` lay the
axes out; `plot_layers`, `plot_comparison` and `plot_statistics` make figures of their own; the
others draw on top. `animate_training` makes a film; `explore` and `origami_page` make pages for
browsers. Inks and palettes suit the background of the figure, light or dark. No function reads or
sets rcParams.
"""

from splinecam.plotting._pages import Page
from splinecam.plotting.anchors import mark_anchors, plot_thumbnails
from splinecam.plotting.animation import TrainingAnimation, animate_training
from splinecam.plotting.boundary import plot_classes, plot_decision_boundary
from splinecam.plotting.comparison import plot_comparison
from splinecam.plotting.complexity import plot_complexity
from splinecam.plotting.edges import plot_edges, plot_slope_changes, plot_unit
from splinecam.plotting.explorer import explore
from splinecam.plotting.figure import new_figure
from splinecam.plotting.graph import plot_graph
from splinecam.plotting.key import mark_classes
from splinecam.plotting.layers import plot_layers
from splinecam.plotting.origami import plot_origami
from splinecam.plotting.origami_page import origami_page
from splinecam.plotting.partition import plot_partition
from splinecam.plotting.points import plot_points
from splinecam.plotting.power import plot_power_diagram
from splinecam.plotting.scale import mark_coordinates, mark_scale
from splinecam.plotting.statistics import plot_statistics

__all__ = [
    "Page",
    "TrainingAnimation",
    "animate_training",
    "explore",
    "mark_anchors",
    "mark_classes",
    "mark_coordinates",
    "mark_scale",
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
]
