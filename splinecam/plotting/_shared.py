"""One scale of colours for a scalar in several pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import CenteredNorm, LogNorm, Normalize

from splinecam.plotting._scalars import Scalar


def shared_look(scalars: Sequence[Scalar]) -> dict[str, Any]:
    """Return the `norm` and `cmap` that show the same scalar of several partitions alike.

    A scalar that has both signs in one picture, and so a diverging scale there, has it in all.
    """
    norms = [scalar.norm or Normalize() for scalar in scalars]
    for norm, scalar in zip(norms, scalars, strict=True):
        norm.autoscale_None(scalar.values)
    centred = [isinstance(norm, CenteredNorm) for norm in norms]
    example = scalars[centred.index(True) if any(centred) else 0]
    limits = np.array([(norm.vmin, norm.vmax) for norm in norms], np.float64)
    low, high = limits.min(), limits.max()
    if any(centred):
        norm = CenteredNorm(halfrange=max(-low, high))
    else:
        norm = (LogNorm if isinstance(example.norm, LogNorm) else Normalize)(low, high)
    return {"norm": norm, "cmap": example.cmap}
