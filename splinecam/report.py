"""What a person wants to know about a partition, in a few lines of text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from splinecam.measures.boundary import DecisionBoundary


def summarise(
    boundary: DecisionBoundary, seconds: float, class_names: Sequence[str] | None = None
) -> str:
    """Summarise a partition and its decision boundary.

    Parameters
    ----------
    boundary : DecisionBoundary
        It carries its partition.
    seconds : float
        How long the partition took.
    class_names : sequence of str, optional
        Names of the classes. Default: their numbers.

    Returns
    -------
    str
        Lines of aligned names and values.
    """
    p = boundary.partition
    areas = p.areas
    folds = np.bincount(p.edge_layers[p.edge_layers >= 0], minlength=len(p.layer_names))
    names = class_names or [str(number) for number in range(boundary.n_classes)]
    whole = p.slice.area
    present = np.argsort(-boundary.class_areas)[: np.count_nonzero(boundary.class_areas)]
    rows = [
        ("regions", f"{p.n_regions:,}"),
        ("edges", f"{p.n_edges:,}"),
        ("vertices", f"{p.n_vertices:,}"),
        ("units", f"{p.n_units:,} in {len(p.layer_names)} layers"),
        ("edges by layer", ", ".join(f"{n:,}" for n in folds) or "none"),
        ("slice area", f"{whole:.6g}"),
        (
            "region areas",
            f"mean {areas.mean():.3g}, median {np.median(areas):.3g}, "
            f"smallest {areas.min():.3g}, largest {areas.max():.3g}",
        ),
        (
            "classes",
            ", ".join(f"{names[c]} ({boundary.class_areas[c] / whole:.1%})" for c in present),
        ),
        ("boundary length", f"{boundary.length:.6g}"),
        ("time", f"{seconds:.3f} s ({p.n_regions / seconds:,.0f} regions a second)"),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
