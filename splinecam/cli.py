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
from tqdm import tqdm

from splinecam._loading import find_model, load_points
from splinecam.demo import train_digit_classifier
from splinecam.engine import compute_partition
from splinecam.errors import SplineCamError
from splinecam.measures.boundary import DecisionBoundary, decision_boundary
from splinecam.report import summarise
from splinecam.slices import Slice

FIGURES = (
    "pictures, by names with commas between them (default: partition,boundary): partition (the "
    "regions with the decision boundary and the points), boundary (enlarged round the boundary), "
    "classes, edges (by layer), layers (one after the other), statistics, complexity, bends "
    "(changes of the slope), graph (of neighbours) and power (the last layer's power diagram) "
    "round the boundary, "
    "origami (the folded slice), area, depth, output, slope (regions coloured by a number), "
    "explorer (a page for browsers)"
)


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
    _add_out(demo, "splinecam-demo", "FOLDER")
    subject = _subject_parser()
    partition = commands.add_parser(
        "partition", parents=[subject], help="partition a model of your own, summarise and draw"
    )
    partition.set_defaults(command=_partition)
    partition.add_argument(
        "--figure",
        type=lambda names: names.split(","),
        default=["partition", "boundary"],
        metavar="NAME[,NAME...]",
        help=FIGURES,
    )
    _add_out(partition, "splinecam-partition", "FOLDER")
    explore = commands.add_parser(
        "explore", parents=[subject], help="write a page to explore the regions in a browser"
    )
    explore.set_defaults(command=_explore)
    _add_out(explore, "splinecam-explorer.html", "FILE.html")
    return parser


def _add_out(parser: argparse.ArgumentParser, default: str, kind: str) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(default),
        metavar=kind,
        help=f"where to write (default: {default})",
    )


def _subject_parser() -> argparse.ArgumentParser:
    """The arguments that say which model is partitioned, and on which slice."""
    parser = argparse.ArgumentParser(add_help=False)
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
    parser.add_argument(
        "--max-regions", type=int, metavar="N", help="refuse partitions of more (default: no limit)"
    )
    return parser


def _demo(options: argparse.Namespace) -> None:
    from splinecam.plotting.gallery import NAMES

    classifier = train_digit_classifier(options.seed, progress=True)
    print(f"trained a digit classifier, test accuracy {classifier.accuracy:.1%}")
    slice_ = Slice.through(classifier.images, pad=0.25)
    images = classifier.images.reshape(-1, 8, 8)
    boundary = _compute(classifier.model, slice_)
    _write(boundary, options.out, NAMES, model=classifier.model, images=images)


def _partition(options: argparse.Namespace) -> None:
    # Imported where it is needed, because matplotlib takes its time.
    from splinecam.plotting.gallery import check_names

    check_names(options.figure)
    model, slice_, images = _find_subject(options)
    boundary = _compute(model, slice_, options.device, options.max_regions)
    _write(
        *(boundary, options.out, options.figure),
        model=model,
        images=images,
        device=options.device,
    )


def _explore(options: argparse.Namespace) -> None:
    from splinecam.plotting.explorer import explore

    model, slice_, _ = _find_subject(options)
    boundary = _compute(model, slice_, options.device, options.max_regions)
    explore(boundary.partition, options.out)
    print(f"\nwritten: {options.out}")


def _find_subject(
    options: argparse.Namespace,
) -> tuple[nn.Module | ExportedProgram, Slice, np.ndarray | None]:
    """The model, the slice, and the points that span it if they are pictures."""
    model = find_model(options.model, options.weights)
    if options.box is not None:
        return model, Slice.box(tuple(options.box[:2]), tuple(options.box[2:])), None
    points = load_points(options.points)
    return model, Slice.through(points, pad=options.pad, seed=options.seed), _as_images(points)


def _as_images(points: np.ndarray) -> np.ndarray | None:
    """Points that can be shown as pictures, (k, height, width) or with channels last, or None."""
    if points.ndim == 4 and points.shape[1] in (1, 3):
        points = points.transpose(0, 2, 3, 1)
    if points.ndim == 4 and points.shape[3] == 1:
        points = points[..., 0]
    is_picture = points.ndim == 3 or (points.ndim == 4 and points.shape[3] == 3)
    return points if is_picture and min(points.shape[1:3]) > 1 else None


def _compute(
    model: nn.Module | ExportedProgram,
    slice_: Slice,
    device: str | None = None,
    max_regions: int | None = None,
) -> DecisionBoundary:
    """Partition, find the decision boundary and summarise."""
    _load_kernels()
    start = time.perf_counter()
    p = compute_partition(model, slice_, device=device, max_regions=max_regions, progress=True)
    seconds = time.perf_counter() - start
    boundary = decision_boundary(p)
    print(summarise(boundary, seconds))
    return boundary


def _write(
    boundary: DecisionBoundary,
    folder: Path,
    names: Sequence[str],
    *,
    model: nn.Module | ExportedProgram,
    images: np.ndarray | None,
    device: str | None = None,
) -> None:
    """Draw and save."""
    from splinecam.plotting.gallery import Subject, write

    folder.mkdir(parents=True, exist_ok=True)
    boundary.partition.save(folder / "partition.npz")
    paths = [folder / "partition.npz"]
    subject = Subject(model, boundary, images, device)
    for name in tqdm(names, desc="drawing", unit="picture"):
        paths += write(name, subject, folder)
    print("\n".join(["", "written:", *(f"  {path}" for path in paths)]))


def _load_kernels() -> None:
    """Compile or load the kernels beforehand, so that the time reported is that of the work."""
    print("loading kernels (compiled on the first run) …", file=sys.stderr)
    # The first layer is wide enough for the kernels of large meshes, the second small enough for
    # those of small ones.
    model = nn.Sequential(nn.Linear(2, 80), nn.ReLU(), nn.Linear(80, 3), nn.ReLU(), nn.Linear(3, 1))
    compute_partition(model, Slice.box((-1, 1), (-1, 1)))
