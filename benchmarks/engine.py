"""`compute_partition` against regioncam, and its memory and start-up time.

Run with ``python -m benchmarks.engine``. Both libraries run warm in one process, in turn, so that
the ratio of their times means something on a noisy machine.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from statistics import median

from torch import nn

import splinecam as sc
from benchmarks.networks import SQUARE, mlp, seconds

COMPARED = [
    ([2, 16, 16, 16, 1], 101),
    ([2, 64, 64, 64, 1], 15),
    ([2, 128, 128, 128, 1], 9),
    ([2, 256, 256, 1], 5),
    ([2, 1000, 1], 3),
]
"""Widths, and how many times each library runs."""

LARGE = [2, 8000, 1]


def main() -> None:
    # A process starts with its parent's peak memory: what is small has to be measured first.
    measure_start()
    measure_large()
    compare_with_regioncam()


def compare_with_regioncam() -> None:
    print("| widths | regions | splinecam | regions/s | regioncam | its regions | ratio |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for widths, runs in COMPARED:
        model = mlp(widths)
        ours: list[float] = []
        theirs: list[float] = []
        seconds(lambda model=model: sc.compute_partition(model, SQUARE))
        for _ in range(runs):
            ours += [seconds(lambda model=model: sc.compute_partition(model, SQUARE))]
            theirs += [seconds(lambda model=model: run_regioncam(model))]
        n_regions = sc.compute_partition(model, SQUARE).n_regions
        time_ours, time_theirs = median(ours), median(theirs)
        print(
            f"| {','.join(map(str, widths))} | {n_regions:,} | {1e3 * time_ours:.2f} ms "
            f"| {n_regions / time_ours:,.0f} | {1e3 * time_theirs:,.2f} ms "
            f"| {run_regioncam(model):,} | {time_theirs / time_ours:.1f}× |",
            flush=True,
        )


def run_regioncam(model: nn.Sequential) -> int:
    """The same partition by regioncam, whose square is [-1, 1]² too; its number of regions."""
    regions = import_module("regioncam").Regioncam(size=1.0)
    for layer in model[:-1]:
        if isinstance(layer, nn.Linear):
            weight, bias = (t.detach().numpy() for t in (layer.weight, layer.bias))
            regions.linear(weight.T.copy(), bias.copy())
        else:
            regions.relu()
    return regions.num_faces


def measure_large() -> None:
    """Time, memory and size of a result of ten million regions, in a process of its own."""
    widths = ",".join(map(str, LARGE))
    print(f"\n{widths}: {run_python('from benchmarks.engine import large; large()')}")


def large() -> None:
    """Measure the large network here."""
    model = mlp(LARGE)
    sc.compute_partition(mlp([2, 256, 256, 1]), SQUARE)
    start = time.perf_counter()
    partition = sc.compute_partition(model, SQUARE)
    elapsed = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    size = sum(a.nbytes for a in vars(partition).values() if hasattr(a, "nbytes"))
    print(
        f"{partition.n_regions:,} regions in {elapsed:.2f} s, peak memory {peak:.2f} GiB, "
        f"{size / partition.n_regions:.1f} bytes a region"
    )


def measure_start() -> None:
    """Seconds that a process with one small partition takes beyond importing torch."""
    job = "from benchmarks.engine import *; sc.compute_partition(mlp([2, 64, 64, 1]), SQUARE)"
    with tempfile.TemporaryDirectory() as cache:
        environment = {"NUMBA_CACHE_DIR": cache}
        torch_only = median(seconds(lambda: run_python("import torch")) for _ in range(3))
        first = seconds(lambda: run_python(job, environment))
        later = median(seconds(lambda: run_python(job, environment)) for _ in range(3))
    print(
        f"\nprocess with one partition, beyond importing torch ({torch_only:.2f} s): "
        f"{first - torch_only:.2f} s with nothing compiled yet, {later - torch_only:.2f} s later"
    )


def run_python(code: str, environment: dict[str, str] | None = None) -> str:
    """What a fresh interpreter prints."""
    process = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **(environment or {})},
        check=True,
        capture_output=True,
        text=True,
    )
    return process.stdout.strip()


if __name__ == "__main__":
    main()
