"""Snapshots of a model's weights through training, and what the partition does meanwhile."""

from __future__ import annotations

import copy
import operator
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pickle import UnpicklingError
from typing import Any, NamedTuple, SupportsFloat

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from splinecam.common.arguments import check_integer
from splinecam.engine import compute_partition
from splinecam.errors import InvalidArgumentError, InvalidFileError, InvalidModelError
from splinecam.measures.complexity import local_complexity
from splinecam.partition.partition import Partition
from splinecam.slices import Slice

FORMAT = "splinecam snapshots"
VERSION = 1

_DAMAGE = (
    *(UnpicklingError, AttributeError, EOFError, ImportError, KeyError, OSError),
    *(RuntimeError, TypeError, ValueError),
)
"""What reading an arbitrary file can raise in `torch.load`."""


def log_spaced_steps(last: int, count: int) -> tuple[int, ...]:
    """Choose steps of a training run that lie evenly on a logarithmic axis.

    Parameters
    ----------
    last : int
        The last step, >= 1.
    count : int
        How many steps from 1 to `last`, >= 2. Those that round to the same number count once.

    Returns
    -------
    tuple of int
        Ascending, with 0, the start, in front.

    Examples
    --------
    >>> from splinecam import log_spaced_steps
    >>> log_spaced_steps(1000, 4)
    (0, 1, 10, 100, 1000)
    """
    check_integer("last", last, 1)
    check_integer("count", count, 2)
    return (0, *np.unique(np.geomspace(1, last, count).round().astype(int)).tolist())


@dataclass(frozen=True, kw_only=True, eq=False)
class Probe:
    """What to measure of a model at a step of its training.

    Parameters
    ----------
    slice_ : Slice, optional
        Compute the partition there.
    points : mapping of str to array_like, optional
        Sets of inputs (n, *input_shape), by names such as ``"train"``, ``"test"`` and
        ``"random"``: measure local complexity around each of them.
    radius, n_directions, seed
        As for `local_complexity`. Defaults: those of Humayun et al. (ICML 2024, §2.2) for MLPs on
        MNIST; inputs of fewer than 25 entries have fewer directions.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> fold = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = fold[0].weight.copy_(torch.tensor([[1.0, 0.0]])), fold[0].bias.zero_()
    >>> points = {"train": [[0.0, 0.0], [1.0, 1.0]]}
    >>> square = sc.Slice.box((-1, 1), (-1, 1))
    >>> sc.Probe(slice_=square, points=points, radius=0.1, n_directions=2)(fold)
    {'n_regions': 2.0, 'edge_density': 0.5, 'train_complexity': 0.5, 'train_complexity_error': 0.5}
    """

    slice_: Slice | None = None
    points: Mapping[str, ArrayLike] = field(default_factory=dict)
    radius: float = 0.005
    n_directions: int = 25
    seed: int = 0

    def __post_init__(self) -> None:
        if self.slice_ is None and not self.points:
            raise InvalidArgumentError("a Probe needs slice_ or points, to have what to measure")

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """Measure a model, which is left as it is.

        Returns
        -------
        dict of str to float
            On the slice, ``n_regions`` and ``edge_density``, the length of the regions' edges per
            area. For each set of points, ``…_complexity``, the mean of `LocalComplexity.total`,
            and ``…_complexity_error``, the standard error of the mean (NaN for one point).
        """
        measured: dict[str, float] = {}
        if self.slice_ is not None:
            p = compute_partition(model, self.slice_)
            start, stop = p.vertices[p.edges[p.edge_hinges >= 0]].swapaxes(0, 1)
            length = np.linalg.norm(stop - start, axis=1).sum()
            measured |= {"n_regions": p.n_regions, "edge_density": length / self.slice_.area}
        for name, points in self.points.items():
            total = local_complexity(
                *(model, points),
                radius=self.radius,
                n_directions=self.n_directions,
                seed=self.seed,
            ).total
            spread = total.std(ddof=1) if len(total) > 1 else np.nan
            measured[f"{name}_complexity"] = total.mean()
            measured[f"{name}_complexity_error"] = spread / np.sqrt(len(total))
        return {name: float(value) for name, value in measured.items()}


class Snapshot(NamedTuple):
    """A model at one step of its training."""

    step: int
    weights: dict[str, Tensor]  # its state dict, on the CPU, in the dtypes that it has
    metrics: dict[str, float]


class Recorder:
    """Takes snapshots of a model's weights at chosen steps of any training loop.

    Parameters
    ----------
    model : torch.nn.Module
        The model that is trained; it is only read.
    steps : int or collection of int, optional
        At which steps a call takes a snapshot: every so many, or these. Default: at each call.
    probe : Probe, optional
        Measured at each snapshot, at once. Default: measure afterwards, with `table`.

    Attributes
    ----------
    snapshots : list of Snapshot
        What was recorded, in the order of the steps.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> x = torch.randn(16, 2)
    >>> recorder = sc.Recorder(model, steps=sc.log_spaced_steps(10, 2))
    >>> for step in range(11):
    ...     loss = model(x).square().mean()
    ...     _ = recorder(step, loss=loss)
    ...     _ = optimizer.zero_grad(), loss.backward(), optimizer.step()
    >>> recorder
    <Recorder: 3 snapshots, steps 0 to 10>
    >>> table = recorder.table(sc.Probe(slice_=sc.Slice.box((-1, 1), (-1, 1))))
    >>> list(table), table["step"].tolist()
    (['step', 'loss', 'n_regions', 'edge_density'], [0, 1, 10])
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        steps: int | Collection[int] | None = None,
        probe: Probe | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise InvalidModelError(f"model has to be an nn.Module, got {type(model).__name__}")
        self._model, self._probe = model, probe
        self._period, self._chosen = _checked_steps(steps)
        self.snapshots: list[Snapshot] = []

    def __repr__(self) -> str:
        n = len(self.snapshots)
        span = f", steps {self.steps[0]} to {self.steps[-1]}" if n else ""
        return f"<Recorder: {n} snapshot{'' if n == 1 else 's'}{span}>"

    def __len__(self) -> int:
        return len(self.snapshots)

    @property
    def steps(self) -> NDArray[np.int64]:
        """(n,) int64: the steps of the snapshots."""
        return np.array([snapshot.step for snapshot in self.snapshots], np.int64)

    def __call__(self, step: int, **metrics: SupportsFloat) -> bool:
        """Take a snapshot if this is one of the chosen steps; tell whether it is.

        Parameters
        ----------
        step : int
            The step of the training loop, >= 0.
        **metrics : float or one-element tensor
            What to keep with it, such as the loss.
        """
        check_integer("step", step, 0)
        is_chosen = step % self._period == 0 and (self._chosen is None or step in self._chosen)
        if is_chosen:
            self.record(step, **metrics)
        return is_chosen

    def record(self, step: int, **metrics: SupportsFloat) -> None:
        """Take a snapshot, whether or not the step is a chosen one.

        Raises
        ------
        InvalidArgumentError
            If the step is not later than the last one recorded.
        InvalidModelError
            If the model's state holds something that is no tensor.
        """
        check_integer("step", step, self.snapshots[-1].step + 1 if self.snapshots else 0)
        kept = {name: _number(value) for name, value in metrics.items()}
        measured = self._probe(self._model) if self._probe else {}
        self.snapshots.append(Snapshot(int(step), _weights(self._model), kept | measured))

    def model_at(self, index: int) -> nn.Module:
        """Make the model of a snapshot: a copy of its own, in evaluation mode."""
        replica = copy.deepcopy(self._model)
        replica.load_state_dict(self.snapshots[index].weights)
        replica.zero_grad(set_to_none=True)
        return replica.eval()

    def partitions(self, slice_: Slice) -> Iterator[Partition]:
        """Compute the partition of each snapshot, one after the other."""
        return (compute_partition(self.model_at(i), slice_) for i in range(len(self)))

    def table(self, probe: Probe | None = None) -> dict[str, NDArray[Any]]:
        """Tabulate the snapshots.

        Parameters
        ----------
        probe : Probe, optional
            What to measure now of each snapshot, beside what was measured when it was taken.

        Returns
        -------
        dict of str to ndarray
            ``"step"``, (n,) int64, and (n,) float64 for each metric and each measure; NaN where a
            snapshot has none. ``pandas.DataFrame(table)`` makes a data frame of it.
        """
        rows = [snapshot.metrics for snapshot in self.snapshots]
        if probe is not None:
            rows = [row | probe(self.model_at(i)) for i, row in enumerate(rows)]
        columns = dict.fromkeys(name for row in rows for name in row)
        table: dict[str, NDArray[Any]] = {"step": self.steps}
        return table | {name: np.array([row.get(name, np.nan) for row in rows]) for name in columns}

    def save(self, path: str | PathLike[str]) -> None:
        """Write the snapshots to a file of tensors and numbers, which `load` reads safely."""
        content = {
            "format": FORMAT,
            "version": VERSION,
            "steps": [snapshot.step for snapshot in self.snapshots],
            "weights": [snapshot.weights for snapshot in self.snapshots],
            "metrics": [snapshot.metrics for snapshot in self.snapshots],
        }
        torch.save(content, path)

    @classmethod
    def load(cls, path: str | PathLike[str], model: nn.Module) -> Recorder:
        """Read what `save` wrote; nothing but tensors, numbers and text is unpickled.

        Parameters
        ----------
        path : str or path
        model : torch.nn.Module
            A model of the same architecture, whose weights do not matter.

        Raises
        ------
        InvalidFileError
            If the file is not one that `save` wrote, is damaged, or is of another model.
        """
        recorder = cls(model)
        with open(path, "rb") as file:
            try:
                content = torch.load(file, map_location="cpu", weights_only=True)
                recorder.snapshots = _checked_snapshots(content, _weights(model))
            except _DAMAGE as error:
                raise InvalidFileError(f"{path} is no sound file of snapshots: {error}") from error
        return recorder


def _checked_steps(steps: Any) -> tuple[int, frozenset[int] | None]:
    """The period, and the chosen steps if they are chosen one by one."""
    try:
        if steps is None or isinstance(steps, int | np.integer):
            period, chosen = (1 if steps is None else int(steps)), None
        else:
            period, chosen = 1, frozenset(operator.index(step) for step in steps)
    except TypeError:
        period, chosen = 0, None
    if period < 1 or (chosen is not None and min(chosen, default=0) < 0):
        raise InvalidArgumentError(
            f"steps is {steps!r}; accepted: an integer >= 1, a collection of integers >= 0, or None"
        )
    return period, chosen


def _number(metric: SupportsFloat) -> float:
    """A metric without its gradient."""
    return float(metric.detach() if isinstance(metric, Tensor) else metric)


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy of a model's state dict on the CPU."""
    weights = {}
    for name, value in model.state_dict().items():
        if not isinstance(value, Tensor):
            raise InvalidModelError(
                f"the model's state holds '{name}', a {type(value).__name__}; accepted: tensors"
            )
        weights[name] = value.detach().to("cpu", copy=True)
    return weights


def _checked_snapshots(content: Any, model_weights: dict[str, Tensor]) -> list[Snapshot]:
    """The snapshots in a file's content, if it is of a model with such weights."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"it does not say {FORMAT!r}")
    if content["version"] != VERSION:
        raise ValueError(f"it is of version {content['version']!r}; this release reads {VERSION}")
    columns = (content["steps"], content["weights"], content["metrics"])
    snapshots = [Snapshot(*row) for row in zip(*columns, strict=True)]
    shapes = {name: tensor.shape for name, tensor in model_weights.items()}
    for snapshot in snapshots:
        found = {name: tensor.shape for name, tensor in snapshot.weights.items()}
        if found != shapes:
            wrong = next(name for name in found | shapes if found.get(name) != shapes.get(name))
            raise ValueError(
                f"step {snapshot.step} has '{wrong}' of shape {found.get(wrong)}, the model "
                f"{shapes.get(wrong)}"
            )
        for value in snapshot.metrics.values():
            float(value)
    return snapshots
