"""Pictures: matplotlib artists on axes of your choice.

`plot_partition` and `plot_classes` fill the slice and lay the axes out for it; the others draw on
top. No function reads or sets rcParams.
"""

from splinecam.plotting._pages import Page
from splinecam.plotting.anchors import mark_anchors, plot_thumbnails
from splinecam.plotting.boundary import plot_classes, plot_decision_boundary
from splinecam.plotting.explorer import explore
from splinecam.plotting.figure import new_figure
from splinecam.plotting.origami import plot_origami
from splinecam.plotting.origami_page import origami_page
from splinecam.plotting.partition import plot_partition

__all__ = [
    "Page",
    "explore",
    "mark_anchors",
    "new_figure",
    "origami_page",
    "plot_classes",
    "plot_decision_boundary",
    "plot_origami",
    "plot_partition",
    "plot_thumbnails",
]
