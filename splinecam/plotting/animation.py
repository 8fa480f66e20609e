"""Training as an animation: the partition at each snapshot, and curves beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import is_color_like
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from splinecam.common.arguments import check_integer
from splinecam.engine import compute_partition
from splinecam.errors import InvalidArgumentError
from splinecam.plotting._curves import plot_curves
from splinecam.plotting._film import film_page, rasterise, writer_for
from splinecam.plotting._scalars import SCALARS
from splinecam.plotting._shared import shared_look
from splinecam.plotting._style import DARK, LABEL_SIZE, LIGHT, Theme
from splinecam.plotting.boundary import plot_decision_boundary
from splinecam.plotting.figure import WIDTHS
from splinecam.plotting.partition import plot_partition
from splinecam.recorder import Recorder
from splinecam.slices import Slice

HEIGHT = 3.4
"""Inches."""

MARGINS = {"left": 0.1, "right": 0.15, "bottom": 0.42, "top": 0.28}
"""Inches. All frames have the same layout, whatever they show."""

PICTURE_WIDTH, BAR_WIDTH = 2.75, 0.75
"""Inches, of the partition and of its colour bar if it has one."""

GAP = 0.65
"""Inches between picture and curves, for the numbers and names along the scales."""

REGIONS = "regions"
"""Name of the curve of the number of regions."""


@dataclass(frozen=True, eq=False, repr=False)
class TrainingAnimation:
    """A training run on a slice, one frame for each snapshot. Made by `animate_training`.

    Nothing is drawn before a frame is asked for, and a frame is drawn anew each time, from the
    snapshot: the same frame is the same picture. Notebooks show the animation with its player.

    Parameters
    ----------
    recorder : Recorder
        The snapshots.
    slice_ : Slice
        Where the partitions are computed.
    steps : ndarray
        (n,) int64, the steps of the frames.
    panels : tuple of dict of str to ndarray
        The curves of each panel, (n,) float64 each.
    look : dict
        What all partitions are drawn with.
    fps : float
        Frames a second.
    dark : bool
        Whether the background is dark.
    """

    recorder: Recorder
    slice_: Slice
    steps: NDArray[np.int64]
    panels: tuple[dict[str, NDArray[np.float64]], ...]
    look: dict[str, Any]
    fps: float
    dark: bool

    def __repr__(self) -> str:
        n = len(self)
        span = f"steps {self.steps[0]} to {self.steps[-1]}"
        return (
            f"<TrainingAnimation: {n} frame{'' if n == 1 else 's'}, {span}, {self.fps:g} a second>"
        )

    def __len__(self) -> int:
        return len(self.steps)

    def frame(self, index: int) -> Figure:
        """Draw one frame, two columns wide.

        Parameters
        ----------
        index : int
            Which snapshot, from 0.

        Returns
        -------
        matplotlib.figure.Figure
            The partition with its decision boundary on the first axes; the metrics and the number
            of regions over the steps on the next ones.

        Raises
        ------
        InvalidArgumentError
            If there is no such frame.
        """
        check_integer("index", index, 0, len(self) - 1)
        figure, picture, charts = self._axes()
        p = compute_partition(self.recorder.model_at(index), self.slice_)
        plot_partition(p, ax=picture, **self.look)
        plot_decision_boundary(p, ax=picture)
        title = f"step {self.steps[index]:,}"
        picture.set_title(title, loc="left", size=LABEL_SIZE, color=self._theme.ink)
        for ax, columns in zip(charts, self.panels, strict=True):
            plot_curves(ax, self.steps, columns, index)
            ax.label_outer()
        figure.align_ylabels(charts)
        charts[-1].set_xlabel("step", size=LABEL_SIZE, color=self._theme.ink)
        return figure

    @property
    def _theme(self) -> Theme:
        return DARK if self.dark else LIGHT

    def _axes(self) -> tuple[Figure, Axes, list[Axes]]:
        """A figure with axes for the picture and below each other for the curves."""
        width = WIDTHS["page"]
        figure = Figure(figsize=(width, HEIGHT), facecolor=self._theme.paper)
        bottom, top = MARGINS["bottom"] / HEIGHT, 1 - MARGINS["top"] / HEIGHT
        middle = MARGINS["left"] + PICTURE_WIDTH + BAR_WIDTH * ("norm" in self.look)
        left = MARGINS["left"] / width
        room = figure.add_gridspec(left=left, right=middle / width, bottom=bottom, top=top)
        picture = figure.add_subplot(room[0])
        charts = figure.add_gridspec(
            *(len(self.panels), 1),
            left=(middle + GAP) / width,
            right=1 - MARGINS["right"] / width,
            bottom=bottom,
            top=top,
        )
        below = charts.subplots(sharex=True, squeeze=False)[:, 0]
        return figure, picture, list(below)

    def save(
        self, path: str | PathLike[str], *, dpi: float = 150.0, progress: bool = False
    ) -> None:
        """Write the animation to a file.

        Parameters
        ----------
        path : str or path
            Its suffix says what is written: ``.gif``, ``.mp4`` (by ffmpeg, which has to be
            installed) or ``.html`` (a page with a player, which loads nothing from elsewhere).
        dpi : float, optional
            Dots per inch; the pictures are 7.2 inches wide.
        progress : bool, optional
            Show a progress bar.

        Raises
        ------
        InvalidArgumentError
            If `path` has another suffix.
        SplineCamError
            If ffmpeg is needed and not installed.
        """
        path = Path(path)
        writer_for(path)(path, self._images(dpi, progress=progress), self.fps, dpi)

    def _images(self, dpi: float, *, progress: bool) -> Iterator[Image.Image]:
        frames = tqdm(range(len(self)), desc="drawing", unit="frame", disable=not progress)
        return (rasterise(self.frame(index), dpi) for index in frames)

    def _repr_html_(self) -> str:
        return film_page(self._images(dpi=100.0, progress=False), self.fps)._repr_html_()


def animate_training(
    recorder: Recorder,
    slice_: Slice,
    *,
    metrics: Sequence[str | Sequence[str]] = ("loss",),
    color: str | tuple[float, ...] = "pattern",
    fps: float = 5.0,
    dark: bool = False,
    progress: bool = False,
) -> TrainingAnimation:
    """Animate what training does to the partition and the decision boundary on a slice.

    Each frame shows a snapshot: the partition with its decision boundary (the zero level of a
    single output), the step, and beside them the metrics and the number of regions over the
    steps. Limits and scales are the same in all frames, and a pattern keeps its colour.

    Parameters
    ----------
    recorder : Recorder
        The snapshots, at least one.
    slice_ : Slice
        Where to look.
    metrics : sequence of str or of sequences of str, optional
        Which of the recorder's metrics to draw as curves: a panel for each entry, shared by the
        names of an entry that is a sequence. Default: ``"loss"``, what
        ``recorder(step, loss=...)`` keeps.
    color : str or tuple, optional
        ``"pattern"``, the name of a scalar, or a colour of matplotlib, as for `plot_partition`.
        A scalar has one scale in all frames.
    fps : float, optional
        Frames a second, > 0.
    dark : bool, optional
        Whether the background is dark.
    progress : bool, optional
        Show a progress bar while the partitions are computed.

    Returns
    -------
    TrainingAnimation
        `TrainingAnimation.save` writes it as GIF, MP4 or HTML.

    Raises
    ------
    InvalidArgumentError
        If there is no snapshot, no such metric or color, or `fps` is not positive.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> x = torch.randn(16, 2)
    >>> recorder = sc.Recorder(model)
    >>> for step in range(3):
    ...     loss = (model(x) - x[:, :1]).square().mean()
    ...     _ = recorder(step, loss=loss)
    ...     _ = optimizer.zero_grad(), loss.backward(), optimizer.step()
    >>> animation = sc.animate_training(recorder, sc.Slice.box((-1, 1), (-1, 1)))
    >>> animation
    <TrainingAnimation: 3 frames, steps 0 to 2, 5 a second>
    >>> [ax.get_title(loc="left") for ax in animation.frame(2).axes][0]
    'step 2'
    >>> animation.save("training.gif")  # doctest: +SKIP
    """
    _check_options(recorder, color, fps)
    panels = _chosen_metrics(recorder, metrics)
    n_regions, scalars = [], []
    frames = recorder.partitions(slice_)
    for p in tqdm(frames, "computing", len(recorder), unit="partition", disable=not progress):
        n_regions.append(p.n_regions)
        if color in SCALARS:
            scalars.append(SCALARS[color](p))
    look = {"color": color, **(shared_look(scalars) if scalars else {})}
    panels.append({REGIONS: np.array(n_regions, np.float64)})
    return TrainingAnimation(recorder, slice_, recorder.steps, tuple(panels), look, fps, dark)


def _chosen_metrics(
    recorder: Recorder, metrics: Sequence[str | Sequence[str]]
) -> list[dict[str, NDArray[np.float64]]]:
    """The recorder's columns, panel by panel."""
    table = recorder.table()
    panels = [(entry,) if isinstance(entry, str) else tuple(entry) for entry in metrics]
    missing = [name for names in panels for name in names if name not in table]
    if missing or not all(panels):
        known = ", ".join(repr(name) for name in table if name != "step") or "none"
        raise InvalidArgumentError(
            f"metrics is {metrics!r}; accepted: names, or sequences of names, of metrics that were "
            f"recorded: {known}"
        )
    return [{name: table[name] for name in names} for names in panels]


def _check_options(recorder: Recorder, color: Any, fps: Any) -> None:
    if not len(recorder):
        raise InvalidArgumentError("recorder has no snapshots; accepted: one or more")
    is_one = isinstance(color, str | tuple)
    if not is_one or not (color in ("pattern", *SCALARS) or is_color_like(color)):
        names = ", ".join(repr(name) for name in ("pattern", *SCALARS))
        raise InvalidArgumentError(
            f"color is {color!r}; accepted: {names}, or a colour of matplotlib"
        )
    if not fps > 0:
        raise InvalidArgumentError(f"fps is {fps!r}; accepted: a number > 0")
