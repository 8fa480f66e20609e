"""The unsteady units of a network, found step by step while it is reduced."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from splinecam.common.types import Floats
from splinecam.network.planar import Layer
from splinecam.network.reduced import ReducedLayer
from splinecam.network.reduction import Ground, Reach
from splinecam.network.tournaments import Round

NO_ERROR = np.zeros(1)


class UnsteadyUnits:
    """Those found so far, and forms over their columns.

    Parameters
    ----------
    polygon : ndarray
        (n, 2) float64: the slice's.

    Attributes
    ----------
    ground : Ground
    layers : list of ReducedLayer
    """

    def __init__(self, polygon: Floats):
        self.ground = Ground(polygon, np.zeros(0), np.zeros(0))
        self.layers: list[ReducedLayer] = []

    def add(
        self,
        functions: Layer,
        name: str,
        step: int,
        raw: Floats,
        errors: Floats,
        unsteady: NDArray[np.int64],
        reach: Reach,
        round_: Round | None = None,
    ) -> None:
        """Add the unsteady ones (n,) of a step's units, whose raw forms are (N, 3 + k)."""
        if not len(unsteady):
            return
        tables = {
            field: table if len(table) == 1 else table[unsteady]
            for field, table in (
                ("breakpoints", functions.breakpoints),
                ("slopes", functions.slopes),
                ("anchors", functions.anchors),
            )
        }
        self.layers.append(
            ReducedLayer(
                name=name,
                weight=np.delete(raw[unsteady], 2, axis=1),
                bias=raw[unsteady, 2],
                **tables,
                weight_errors=NO_ERROR,
                bias_errors=errors[unsteady],
                step=step,
                units=unsteady,
                round=round_,
            )
        )
        self.ground = self.ground.add(reach.largest[unsteady], reach.halves[unsteady])

    def activated(
        self, form: Floats, reach: Reach, unsteady: NDArray[np.int64], is_raw: bool
    ) -> Floats:
        """Activations (N, 3 + k') from the form (N, 3 + k) of the pre-activations.

        The unsteady ones (n,) are those that were added last.
        """
        made = np.zeros((len(form), 3 + len(self.ground.largest)))
        np.multiply(form, reach.slopes[:, None], out=made[:, : form.shape[1]])
        made[:, 2] += reach.offsets
        if is_raw:
            made[unsteady] = 0.0
        made[unsteady, form.shape[1] + np.arange(len(unsteady))] = 1.0
        return made

    def magnitudes(self, raw: Floats, bounded: Floats) -> Floats:
        """Sums (2, N) of the absolute values of the terms of both forms."""
        residues = self.ground._replace(largest=self.ground.halves)
        return np.stack([self.ground.magnitudes(raw), residues.magnitudes(bounded)])
