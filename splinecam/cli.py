"""The command ``splinecam``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from torch import nn
from torch.export import ExportedProgram

from splinecam._loading import find_model, load_points
from splinecam.demo import train_digit_classifier
from splinecam.engine import compute_partition
from splinecam.errors import SplineCamError
from splinecam.measures.boundary import DecisionBoundary, decision_boundary
from splinecam.report import summarise
from splinecam.slices import Slice

MAGNIFICATION = 5
"""Of the picture round the decision boundary."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, or 2 where it refuses."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = options.command
    try:
        command(options)
    except (SplineCamError, OSError) as error:
        print(f"splinecam: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="splinecam", description="The exact linear regions of a network on a plane slice."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="train a digit classifier and draw its partition through three test digits",
    )
    demo.set_defaults(command=_demo)
    demo.add_argument("--seed", type=int, default=0, help="of the training (default: 0)")
    demo.add_argument("--out", type=Path, default=Path("splinecam-demo"), metavar="FOLDER")
    _add_partition_options(commands.add_parser("partition", help="partition a model of your own"))
    return parser


def _add_partition_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_partition)
    parser.add_argument(
        "model", metavar="MODEL", help="FILE.onnx, FILE.pt2, or package.module:factory"
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="a state dict of the model")
    domain = parser.add_mutually_exclusive_group(required=True)
    domain.add_argument(
        "--points",
        type=Path,
        metavar="FILE.npy",
        help="one, two or three inputs (k, *input_shape) that span the slice",
    )
    domain.add_argument(
        "--box",
        type=float,
        nargs=4,
        metavar=("XMIN", "XMAX", "YMIN", "YMAX"),
        help="the slice of a model with two inputs",
    )
    parser.add_argument(
        "--pad", type=float, default=0.1, help="margin around the points (default: 0.1)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of directions that points leave open (default: 0)"
    )
    parser.add_argument("--device", help="where pre-activations are computed (default: cpu)")
    parser.add_argument("--max-regions", type=int, metavar="N")
    parser.add_argument("--out", type=Path, default=Path("splinecam-partition"), metavar="FOLDER")


def _demo(options: argparse.Namespace) -> None:
    classifier = train_digit_classifier(options.seed, progress=True)
    print(f"trained a digit classifier, test accuracy {classifier.accuracy:.1%}")
    slice_ = Slice.through(classifier.images, pad=0.25)
    images = classifier.images.reshape(-1, 8, 8)
    _run(classifier.model, slice_, options.out, images=images)


def _partition(options: argparse.Namespace) -> None:
    model = find_model(options.model, options.weights)
    images = None
    if options.box is not None:
        slice_ = Slice.box(tuple(options.box[:2]), tuple(options.box[2:]))
    else:
        points = load_points(options.points)
        slice_ = Slice.through(points, pad=options.pad, seed=options.seed)
        images = _as_images(points)
    _run(
        model,
        slice_,
        options.out,
        images=images,
        device=options.device,
        max_regions=options.max_regions,
    )


def _as_images(points: np.ndarray) -> np.ndarray | None:
    """Points that can be shown as pictures, (k, height, width) or with channels last, or None."""
    if points.ndim == 4 and points.shape[1] in (1, 3):
        points = points.transpose(0, 2, 3, 1)
    if points.ndim == 4 and points.shape[3] == 1:
        points = points[..., 0]
    is_picture = points.ndim == 3 or (points.ndim == 4 and points.shape[3] == 3)
    return points if is_picture and min(points.shape[1:3]) > 1 else None


def _run(
    model: nn.Module | ExportedProgram,
    slice_: Slice,
    folder: Path,
    *,
    images: np.ndarray | None,
    device: str | None = None,
    max_regions: int | None = None,
) -> None:
    """Partition, summarise, draw and save."""
    # matplotlib takes a second to import; commands that fail before drawing need not wait for it.
    from splinecam.plotting.overview import draw_overview, save_figure

    _load_kernels()
    start = time.perf_counter()
    partition = compute_partition(
        model, slice_, device=device, max_regions=max_regions, progress=True
    )
    seconds = time.perf_counter() - start
    boundary = decision_boundary(partition)
    print(summarise(boundary, seconds))
    folder.mkdir(parents=True, exist_ok=True)
    partition.save(folder / "partition.npz")
    paths = [folder / "partition.npz"]
    paths += save_figure(draw_overview(boundary, images=images), folder, "partition")
    close = compute_partition(model, _around_boundary(boundary), device=device)
    paths += save_figure(draw_overview(decision_boundary(close)), folder, "boundary")
    print("\n".join(["", "written:", *(f"  {path}" for path in paths)]))


def _around_boundary(boundary: DecisionBoundary) -> Slice:
    """A small square round the point of the boundary that is nearest to the slice's middle."""
    slice_ = boundary.partition.slice
    middle = (slice_.anchors if len(slice_.anchors) else slice_.polygon).mean(axis=0)
    candidates = boundary.segments.mean(axis=1)
    if len(candidates):
        middle = candidates[np.linalg.norm(candidates - middle, axis=1).argmin()]
    half = np.ptp(slice_.polygon, axis=0).max() / (2 * MAGNIFICATION)
    x, y = middle.tolist()
    return slice_.with_box((x - half, x + half), (y - half, y + half))


def _load_kernels() -> None:
    """Compile or load the kernels beforehand, so that the time reported is that of the work."""
    print("loading kernels (compiled on the first run) …", file=sys.stderr)
    # The first layer is wide enough for the kernels of large meshes, the second small enough for
    # those of small ones.
    model = nn.Sequential(nn.Linear(2, 80), nn.ReLU(), nn.Linear(80, 3), nn.ReLU(), nn.Linear(3, 1))
    compute_partition(model, Slice.box((-1, 1), (-1, 1)))
