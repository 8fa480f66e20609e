"""Speed of `compute_partition` on networks that are reduced on tiles.

Run with ``python -m benchmarks.networks_at_size``, or with the names of some networks. They have
the sizes of networks that people verify, random weights, and planes through three random smooth
images. For each: where the time goes, and the time of a call beside that of evaluating the network
at all vertices of the result.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor, nn

import splinecam as sc
from benchmarks.networks import mlp, seconds
from splinecam.common.workers import Workers, n_processors
from splinecam.convert import convert
from splinecam.cutting.numbering import renumber
from splinecam.tiling.jobs import FEW_UNITS, Job, cut_leaves, find_leaves
from splinecam.tiling.stitch import stitch
from splinecam.tiling.tiles import number_corners

EVALUATED = 10_000
"""Vertices at which the network is evaluated; the time for all of them is their share."""


class Case(NamedTuple):
    """A network and the inputs that its plane goes through."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    size: float
    """Half the side of the square that is cut, in units of the images' distance from each other;
    0 for the whole plane through all three."""


class Residual(nn.Module):
    """A block of two convolutions and a shortcut."""

    def __init__(self, n_in: int, n_out: int, stride: int):
        super().__init__()
        self.first = nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1)
        self.second = nn.Conv2d(n_out, n_out, 3, padding=1)
        self.shortcut = nn.Conv2d(n_in, n_out, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(torch.relu(self.first(x)))
        return torch.relu(y + self.shortcut(x))


def conv_net() -> nn.Module:
    """2,568 ReLUs, as a small verified CIFAR-10 net has."""
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 4, stride=2), nn.ReLU()),
        *(nn.Conv2d(8, 16, 4, stride=2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(576, 128), nn.ReLU()),
        *(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)),
    )


def res_net() -> nn.Module:
    """6,244 ReLUs in two residual blocks."""
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU()),
        *(Residual(8, 16, 2), Residual(16, 16, 1)),
        *(nn.Flatten(), nn.Linear(1024, 100), nn.ReLU(), nn.Linear(100, 10)),
    )


def deep_net() -> nn.Module:
    """Six layers of 50, as a net of collision avoidance has."""
    model = mlp([5, *[50] * 6, 5])
    with torch.no_grad():
        for layer in model[::2]:
            layer.weight.mul_(3.0)
    return model


CASES = {
    "conv": Case(conv_net, (3, 32, 32), 0.0),
    "conv, local": Case(conv_net, (3, 32, 32), 0.05),
    "resnet, local": Case(res_net, (3, 32, 32), 0.05),
    "resnet": Case(res_net, (3, 32, 32), 0.0),
    "mlp 4x256": Case(lambda: mlp([784, *[256] * 4, 10]), (784,), 0.0),
    "mlp 6x50": Case(deep_net, (5,), 0.0),
}


def images(shape: Sequence[int]) -> Tensor:
    """Three smooth random inputs (3, *shape) between 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    if len(shape) == 1:
        return torch.rand(3, *shape, generator=generator, dtype=torch.float64)
    coarse = torch.rand(3, shape[0], 6, 6, generator=generator, dtype=torch.float64)
    return nn.functional.interpolate(coarse, shape[1:], mode="bicubic").clamp(0, 1)


def plane(case: Case) -> sc.Slice:
    """The slice of a case."""
    points = images(case.shape)
    whole = sc.Slice.through(points.numpy())
    if not case.size:
        return whole
    half = case.size * float((points[1] - points[0]).norm())
    corners = [(-half, -half), (half, -half), (half, half), (-half, half)]
    return sc.Slice(points[0].flatten().numpy(), whole.basis, corners, input_shape=case.shape)


def model_of(case: Case) -> nn.Module:
    """The network of a case, from one seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return case.make().double()


def stages(model: nn.Module, slice_: sc.Slice) -> dict[str, float]:
    """Seconds of each stage."""
    job = Job(convert(model, slice_.input_shape), slice_, "cpu")
    times = [time.perf_counter()]
    with ThreadPoolExecutor(n_processors()) as executor, Workers(None) as workers:
        workers.limit_blas()
        root = job.root()
        times.append(time.perf_counter())
        leaves = find_leaves(job, root, executor, FEW_UNITS)
        times.append(time.perf_counter())
        tiles = list(cut_leaves(job, leaves, executor))
        times.append(time.perf_counter())
        numbers = number_corners(leaf.cell for leaf in leaves)
        mesh, shared = stitch((tile.mesh(numbers) for tile in tiles), root.network.units)
        times.append(time.perf_counter())
        renumber(mesh, shared)
        times.append(time.perf_counter())
    names = ("root", "narrowing", "cutting", "stitching", "numbering")
    return {name: stop - start for name, start, stop in zip(names, times, times[1:], strict=False)}


def evaluation(model: nn.Module, slice_: sc.Slice, partition: sc.Partition) -> float:
    """Seconds to evaluate the network at all vertices."""
    uv = partition.vertices[:EVALUATED]
    points = torch.from_numpy(slice_.embed(uv))
    with torch.no_grad():
        elapsed = seconds(lambda: [model(part) for part in points.split(1000)])
    return elapsed * partition.n_vertices / len(uv)


def main() -> None:
    chosen = sys.argv[1:] or list(CASES)
    sc.compute_partition(model_of(CASES["mlp 6x50"]), plane(CASES["mlp 6x50"]))
    print("| network | regions | seconds | regions/s | evaluating vertices | ratio | stages |")
    print("|---|---:|---:|---:|---:|---:|---|")
    for name in chosen:
        model, slice_ = model_of(CASES[name]), plane(CASES[name])
        partition = sc.compute_partition(model, slice_)
        elapsed = seconds(lambda model=model, slice_=slice_: sc.compute_partition(model, slice_))
        parts = ", ".join(f"{k} {v:.2f}" for k, v in stages(model, slice_).items())
        direct = evaluation(model, slice_, partition)
        n = partition.n_regions
        print(
            f"| {name} | {n:,} | {elapsed:.3f} | {n / elapsed:,.0f} | {direct:.2f} s "
            f"| {direct / elapsed:.1f}× | {parts} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
