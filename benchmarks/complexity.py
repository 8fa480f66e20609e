"""Seconds of local complexity, in the input space and on a slice.

Run with ``python -m benchmarks.complexity``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np

import splinecam as sc
from benchmarks.networks import SQUARE, mlp

RUNS = 3

DIRECTIONS = [25, 50]

RADII = [0.01, 0.5]


def main() -> None:
    measure_local_complexity()
    measure_maps()
    measure_distances()
    measure_segment()


def measure_local_complexity() -> None:
    """1,000 points of an MLP with 784 inputs and four layers of 200 units."""
    model, points = mlp([784, 200, 200, 200, 200, 10]), inputs(1000)
    for n_directions in DIRECTIONS:
        options = {"radius": 0.005, "n_directions": n_directions}
        elapsed = seconds(lambda options=options: sc.local_complexity(model, points, **options))
        print(f"local_complexity, 1,000 points, {n_directions} directions: {elapsed:.2f} s")


def measure_maps() -> None:
    """Maps of 300 × 300 discs over about 100,000 regions."""
    p = sc.compute_partition(mlp([2, 500, 300, 1]), SQUARE)
    for radius in RADII:
        for quantity in ("regions", "length", "density"):
            options = {"radius": radius, "resolution": 300, "quantity": quantity}
            elapsed = seconds(lambda options=options: sc.complexity_map(p, **options))
            print(f"complexity_map, {p.n_regions:,} regions, {quantity}, {radius}: {elapsed:.2f} s")


def measure_distances() -> None:
    """Distances of 100 points from all 800 units, and of 10,000 points from edges."""
    model = mlp([784, 200, 200, 200, 200, 10])
    elapsed = seconds(lambda: sc.unit_distances(model, inputs(100)))
    print(f"unit_distances, 100 points: {elapsed:.2f} s")
    p = sc.compute_partition(mlp([2, 500, 300, 1]), SQUARE)
    points = np.random.default_rng(0).uniform(-1, 1, (10_000, 2))
    elapsed = seconds(lambda: sc.nearest_edges(p, points))
    print(f"nearest_edges, {p.n_regions:,} regions, 10,000 points: {elapsed:.2f} s")


def measure_segment() -> None:
    """A line between two inputs, and the attributions along it."""
    model = mlp([784, 200, 200, 200, 200, 10])
    segment = sc.Segment(*inputs(2))
    line = sc.compute_segment_partition(model, segment)
    elapsed = seconds(lambda: sc.compute_segment_partition(model, segment))
    print(f"compute_segment_partition, {line.n_pieces} pieces: {elapsed:.2f} s")
    elapsed = seconds(lambda: sc.integrated_gradients(model, line, 0))
    print(f"integrated_gradients: {elapsed:.2f} s")


def inputs(n: int) -> np.ndarray:
    return np.random.default_rng(0).random((n, 784), dtype=np.float32)


def seconds(job: Callable[[], object]) -> float:
    """Median wall time of some runs, after one to warm up."""
    job()
    elapsed = []
    for _ in range(RUNS):
        start = time.perf_counter()
        job()
        elapsed.append(time.perf_counter() - start)
    return median(elapsed)


if __name__ == "__main__":
    main()
