"""What the regions of one or many partitions are like, in the mean and in distribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from splinecam.common.arguments import as_float64
from splinecam.common.types import Floats
from splinecam.errors import InvalidArgumentError
from splinecam.measures.regions import region_statistics
from splinecam.partition.partition import Partition

TOTALS = ("n_regions", "region_density", "edge_density")
"""What `summarize_regions` says of partitions as wholes, before the means over their regions."""


@dataclass(frozen=True, eq=False, repr=False)
class Estimates:
    """Quantities of several partitions, with their mean and its confidence interval.

    The interval is Student's: mean ± t s / √P, with s the standard deviation over the P partitions
    and t the quantile of his distribution with P - 1 degrees of freedom. It holds if they are
    independent draws of a normal distribution.

    Parameters
    ----------
    values : ndarray
        (P, M) float64, one row for each partition.
    confidence : float
        The probability with which the interval shall hold the mean of the distribution.
    """

    values: Floats
    confidence: float

    @property
    def mean(self) -> Floats:
        """(M,) float64: the mean over the partitions."""
        return self.values.mean(axis=0)

    @property
    def low(self) -> Floats:
        """(M,) float64: the lower end of the interval; NaN for a single partition."""
        return self.mean - self._half_width

    @property
    def high(self) -> Floats:
        """(M,) float64: the upper end of the interval; NaN for a single partition."""
        return self.mean + self._half_width

    @property
    def _half_width(self) -> Floats:
        count = len(self.values)
        if count == 1:
            return np.full(self.values.shape[1], np.nan)
        quantile = stdtrit(count - 1, 0.5 + self.confidence / 2)
        return quantile * self.values.std(axis=0, ddof=1) / np.sqrt(count)


@dataclass(frozen=True, eq=False, repr=False)
class RegionSummary(Estimates):
    """What the regions of partitions are like in the mean; made by `summarize_regions`.

    Parameters
    ----------
    names : tuple of str
        M names of quantities.
    """

    names: tuple[str, ...]

    def __repr__(self) -> str:
        n_partitions, n_quantities = self.values.shape
        plural = "" if n_partitions == 1 else "s"
        return f"<RegionSummary: {n_quantities} quantities of {n_partitions} partition{plural}>"

    def columns(self) -> dict[str, NDArray[Any]]:
        """The summary as (M,) columns, for `to_frame`: quantity, mean, low, high."""
        return {
            "quantity": np.array(self.names),
            "mean": self.mean,
            "low": self.low,
            "high": self.high,
        }


@dataclass(frozen=True, eq=False, repr=False)
class Histogram(Estimates):
    """How a measure of regions is distributed; made by `region_histogram`.

    `values`, (P, M), and their mean are shares of a partition in each bin.

    Parameters
    ----------
    edges : ndarray
        (M + 1,) float64, ascending: the limits of the bins.
    measure : str
        What is distributed.
    """

    edges: Floats
    measure: str

    def __repr__(self) -> str:
        low, high = self.edges[[0, -1]]
        return f"<Histogram: {self.measure} in {len(self.edges) - 1} bins, {low:.3g} to {high:.3g}>"

    @property
    def density(self) -> Floats:
        """(M,) float64: the mean share over the bins' widths."""
        return self.mean / np.diff(self.edges)


def summarize_regions(
    partitions: Partition | Sequence[Partition],
    *,
    by_area: bool = False,
    confidence: float = 0.95,
) -> RegionSummary:
    """Summarise the regions of one or many partitions: many slices, seeds or checkpoints.

    Parameters
    ----------
    partitions : Partition or sequence of Partition
        P of them.
    by_area : bool
        Whether each region counts by its area in the mean over a partition's regions, which makes
        it the mean over the points of the slice; else all regions count alike.
    confidence : float
        Between 0 and 1, of the interval for the mean over the partitions.

    Returns
    -------
    RegionSummary
        The quantities are ``"n_regions"``, ``"region_density"`` (regions per area of the slice),
        ``"edge_density"`` (length of the edges inside the slice per area) and, for each measure of
        `region_statistics` with one number a region, the mean over the regions in which it is
        finite.

    Raises
    ------
    InvalidArgumentError
        If an argument is not of this kind.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.measures.statistics import summarize_regions
    >>> fold = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = fold[0].weight.copy_(torch.tensor([[1.0, 0.0]])), fold[0].bias.zero_()
    >>> boxes = [sc.Slice.box((-1, right), (0, 1)) for right in (1, 2, 3)]
    >>> summary = summarize_regions([sc.compute_partition(fold, box) for box in boxes])
    >>> summary.names[:4], summary.mean[:4].round(3).tolist()
    (('n_regions', 'region_density', 'edge_density', 'area'), [2.0, 0.722, 0.361, 1.5])
    >>> summary.low[3].round(3), summary.high[3].round(3)
    (np.float64(0.258), np.float64(2.742))
    """
    chosen = checked_partitions(partitions)
    level = _checked_confidence(confidence)
    names: tuple[str, ...] = ()
    rows = []
    for partition in chosen:
        measures = _scalars(partition)
        names = (*TOTALS, *measures)
        weights = partition.areas if by_area else np.ones(partition.n_regions)
        means = [_finite_mean(values, weights) for values in measures.values()]
        inner = partition.edge_regions[:, 1] >= 0
        area = partition.slice.area
        length = partition.edge_lengths[inner].sum()
        rows.append([partition.n_regions, partition.n_regions / area, length / area, *means])
    return RegionSummary(np.array(rows, np.float64), level, names)


def region_histogram(
    partitions: Partition | Sequence[Partition],
    measure: str,
    *,
    bins: int = 50,
    limits: tuple[float, float] | None = None,
    log: bool = False,
    by_area: bool = False,
    confidence: float = 0.95,
) -> Histogram:
    """Find how a measure of regions is distributed in one or many partitions.

    Parameters
    ----------
    partitions : Partition or sequence of Partition
        P of them; they get the same bins.
    measure : str
        One of `region_statistics` with one number a region.
    bins : int
        How many bins, M >= 1.
    limits : (float, float), optional
        Where the bins begin and end. Default: the extremes of all partitions, without what is not
        finite or, for logarithmic bins, not positive.
    log : bool
        Whether the bins are equally wide in the logarithm.
    by_area : bool
        Whether a bin's share is one of the slice's area; else of the number of regions.
    confidence : float
        Between 0 and 1, of the interval for the mean over the partitions.

    Returns
    -------
    Histogram
        What is outside the limits counts in no bin, but in the whole of which they are shares.

    Raises
    ------
    InvalidArgumentError
        If an argument is not of this kind.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.measures.statistics import region_histogram
    >>> fold = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = fold[0].weight.copy_(torch.tensor([[1.0, 0.0]])), fold[0].bias.zero_()
    >>> p = sc.compute_partition(fold, sc.Slice.box((-1, 3), (0, 1)))
    >>> histogram = region_histogram(p, "area", bins=2, by_area=True)
    >>> histogram
    <Histogram: area in 2 bins, 1 to 3>
    >>> histogram.mean.tolist(), histogram.edges.tolist()
    ([0.25, 0.75], [1.0, 2.0, 3.0])
    """
    chosen = checked_partitions(partitions)
    level = _checked_confidence(confidence)
    if not isinstance(bins, int | np.integer) or bins < 1:
        raise InvalidArgumentError(f"bins is {bins!r}; accepted: an integer of 1 or more")
    columns = [_scalars(partition) for partition in chosen]
    if measure not in columns[0]:
        accepted = ", ".join(map(repr, columns[0]))
        raise InvalidArgumentError(f"measure is {measure!r}; accepted: {accepted}")
    values = [column[measure].astype(np.float64) for column in columns]
    edges = _bin_edges(np.concatenate(values), int(bins), limits, log)
    shares = []
    for partition, numbers in zip(chosen, values, strict=True):
        weights = partition.areas if by_area else np.ones(partition.n_regions)
        shares.append(np.histogram(numbers, edges, weights=weights)[0] / weights.sum())
    return Histogram(np.array(shares), level, edges, measure)


def _scalars(partition: Partition) -> dict[str, NDArray[Any]]:
    """The measures with one number a region."""
    measures = region_statistics(partition)
    return {name: values for name, values in measures.items() if values.ndim == 1}


def _finite_mean(values: NDArray[Any], weights: Floats) -> float:
    """The weighted mean of what is finite; NaN if nothing is."""
    finite = np.isfinite(values)
    total = weights[finite].sum()
    return float(values[finite] @ weights[finite] / total) if total > 0 else np.nan


def _bin_edges(values: Floats, bins: int, limits: tuple[float, float] | None, log: bool) -> Floats:
    if limits is None:
        values = values[np.isfinite(values) & ((values > 0) if log else True)]
        low, high = (values.min(), values.max()) if len(values) else (1.0, 1.0)
        if low == high:  # as numpy does it, but positive for logarithms
            low, high = (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
    else:
        low, high = as_float64("limits", limits, (2,), InvalidArgumentError)
        if not low < high or (log and low <= 0):
            raise InvalidArgumentError(
                f"limits is {limits!r}; accepted: two ascending numbers"
                + (", both positive for logarithmic bins" if log else "")
            )
    edges = np.geomspace(low, high, bins + 1) if log else np.linspace(low, high, bins + 1)
    edges[[0, -1]] = low, high  # whatever rounding does
    return edges


def checked_partitions(partitions: Any) -> Sequence[Partition]:
    """Return one or more partitions as a sequence, or refuse them."""
    chosen = [partitions] if isinstance(partitions, Partition) else partitions
    if (
        not isinstance(chosen, Sequence)
        or not len(chosen)
        or not all(isinstance(partition, Partition) for partition in chosen)
    ):
        raise InvalidArgumentError(
            f"partitions is {partitions!r}; accepted: a Partition, or a list of one or more"
        )
    return chosen


def _checked_confidence(confidence: Any) -> float:
    level = float(as_float64("confidence", confidence, (), InvalidArgumentError))
    if not 0 < level < 1:
        raise InvalidArgumentError(
            f"confidence is {confidence!r}; accepted: a number between 0 and 1"
        )
    return level
