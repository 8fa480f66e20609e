"""How batch normalisation fits the partition to data.

A unit behind batch normalisation is a (((⟨w, v⟩ - μ) / σ) γ + β), with v the input of the layer
with the weight w. Its hyperplane H = {v : ⟨w, v⟩ = μ} is at the distance |⟨w, v⟩ - μ| / ‖w‖ from v.
Over a batch the mean squared distance is least, σ² / ‖w‖², where μ is the batch's mean: batch
normalisation is a total-least-squares fit of each hyperplane to the layer's inputs (Balestriero &
Baraniuk, "Batch normalization explained", arXiv 2209.14778, eq. 10-11 as in arXiv 2402.15555,
appendix B). With running statistics, or other data, it is off by how far the means differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional

from splinecam.common.batches import checked_device, checked_points
from splinecam.common.types import Floats
from splinecam.errors import UnsupportedLayerError
from splinecam.measures.forward import ForwardWatch

WEIGHTED = frozenset({"linear", "conv1d", "conv2d", "conv3d"})
"""Functions whose second argument holds a weight vector for each channel."""


@dataclass(frozen=True, eq=False, repr=False)
class BatchNormFit:
    """How one batch normalisation's C hyperplanes lie in the data; made by `batch_norm_fit`.

    Attributes
    ----------
    name : str
        The path of the batch normalisation in the model.
    source : str
        The path of the layer with the weights w; empty where something else comes before. The
        hyperplanes are then those of the normalised value itself, and w are unit vectors.
    weight_norms : ndarray
        (C,) float64: ‖w‖.
    means : ndarray
        (C,) float64: μ, the mean that is subtracted.
    data_means : ndarray
        (C,) float64: the data's mean of ⟨w, v⟩ and the layer's bias, the best μ.
    mean_squares : ndarray
        (C,) float64: the mean squared distance of the inputs v from H, in units of the layer's
        input.
    least_mean_squares : ndarray
        (C,) float64: what it would be with the best μ.
    shifts : ndarray
        (C,) float64: how far beyond H, along w, the unit's own zero set is, because of β:
        -βσ / (γ ‖w‖); NaN where γ is 0.

    Notes
    -----
    Where w is zero there is no hyperplane: distances are NaN.
    """

    name: str
    source: str
    weight_norms: Floats
    means: Floats
    data_means: Floats
    mean_squares: Floats
    least_mean_squares: Floats
    shifts: Floats

    def __post_init__(self) -> None:
        for array in vars(self).values():
            if isinstance(array, np.ndarray):
                array.setflags(write=False)

    def __repr__(self) -> str:
        found, best = np.nanmean(self.mean_squares), np.nanmean(self.least_mean_squares)
        return (
            f"<BatchNormFit: {self.name}, {len(self.means):,} units; mean squared distance "
            f"{found:.6g}, at best {best:.6g}>"
        )

    @property
    def displacements(self) -> Floats:
        """(C,) float64: the distance of H from where it fits best; its square is the excess."""
        return np.abs(self.means - self.data_means) / _positive(self.weight_norms)


def batch_norm_fit(
    model: nn.Module,
    points: ArrayLike,
    *,
    device: str | torch.device | None = None,
) -> tuple[BatchNormFit, ...]:
    """Measure how well each batch normalisation's hyperplanes fit data.

    Parameters
    ----------
    model : torch.nn.Module
        Takes a batch of inputs. It is evaluated as a private float64 copy in evaluation mode, so
        with running statistics where it keeps some, and left as it is.
    points : array_like
        (n, *input_shape), one batch of data. Of convolutions each position counts as a point of
        its own, whose input v is the patch under the kernel.
    device : str or torch.device, optional
        Where the model is evaluated. Default: the CPU.

    Returns
    -------
    tuple of BatchNormFit
        One for each call of a batch normalisation, in their order.

    Raises
    ------
    InvalidArgumentError
        If `points` or `device` is not of this kind.
    InvalidModelError
        If the model's weights are not finite, or it cannot be evaluated on such inputs.
    UnsupportedLayerError
        If the model calls no batch normalisation, or draws random numbers.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 1, bias=False), torch.nn.BatchNorm1d(1))
    >>> with torch.no_grad():
    ...     _ = model[0].weight.copy_(torch.tensor([[3.0, 4.0]]))
    >>> fit, = sc.batch_norm_fit(model, [[1.0, 0.0], [0.0, 1.0]])
    >>> fit.source, fit.weight_norms.tolist(), fit.data_means.tolist()
    ('0', [5.0], [3.5])
    >>> fit.mean_squares.tolist(), fit.least_mean_squares.tolist(), fit.displacements.tolist()
    ([0.5], [0.01], [0.7])
    """
    x = torch.from_numpy(checked_points(points).astype(np.float64))
    where = checked_device(device)
    with torch.inference_mode(False), torch.no_grad():
        watch = _BatchNormWatch(model, where)
        watch.evaluate(x.to(where))
    if not watch.fits:
        raise UnsupportedLayerError("the model calls no batch normalisation")
    return tuple(watch.fits)


class _BatchNormWatch(ForwardWatch):
    """Measures each batch normalisation that it sees."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        super().__init__(model, device)
        self.fits: list[BatchNormFit] = []
        # By identity, of the values that layers with weights have made; they are kept alive so
        # that no other tensor takes over an identity.
        self._sources: dict[int, tuple[Tensor, str, Tensor]] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Look at layers with weights, and at the batch normalisations behind them."""
        kwargs = kwargs or {}
        operation = getattr(func, "__name__", "")
        if func is functional.batch_norm:
            self._measure(*args, **kwargs)
        result = func(*args, **kwargs)
        if operation in WEIGHTED:
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            source = (result, self.site.step_name(operation), weight.flatten(1).norm(dim=1))
            self._sources[id(result)] = source
        return result

    def _measure(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> None:
        """Measure the fit of a batch normalisation that gets these arguments."""
        values = input.transpose(0, 1).flatten(1)
        data_means, variances = values.mean(dim=1), values.var(dim=1, unbiased=False)
        means = data_means if training or running_mean is None else running_mean
        scales = (variances if training or running_var is None else running_var).add(eps).sqrt()
        _, source, norms = self._sources.get(id(input), (input, "", torch.ones_like(means)))
        gamma = torch.ones_like(means) if weight is None else weight
        beta = torch.zeros_like(means) if bias is None else bias
        squares = (values - means[:, None]).square().mean(dim=1)
        arrays = (norms, means, data_means, squares, variances, scales, gamma, beta)
        norms, means, data_means, squares, variances, scales, gamma, beta = (
            array.cpu().numpy().copy() for array in arrays
        )
        lengths = _positive(norms)
        fit = BatchNormFit(
            name=self.site.step_name("batch_norm"),
            source=source,
            weight_norms=norms,
            means=means,
            data_means=data_means,
            mean_squares=squares / lengths**2,
            least_mean_squares=variances / lengths**2,
            shifts=-beta * scales / (np.where(gamma == 0, np.nan, gamma) * lengths),
        )
        self.fits.append(fit)


def _positive(lengths: Floats) -> Floats:
    """Lengths to divide by: NaN where they are 0."""
    return np.where(lengths > 0, lengths, np.nan)
