"""What it takes to measure a million regions.

Run with ``python -m benchmarks.measures``. Everything is compiled on a small network first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import splinecam as sc
from benchmarks.networks import SQUARE, mlp

MEASURED = [[2, 2500, 10], [2, 1200, 1200, 10]]
"""Widths: about a million regions each."""

JOINED = [2, 400, 400, 10]
"""Widths for the graph: about 100,000 regions."""

SAMPLES = 10_000
"""Points on the boundary, and points whose distance to it is measured."""


def main() -> None:
    measure([2, 16, 16, 3], shown=False)
    for widths in MEASURED:
        measure(widths, shown=True)
    join([2, 16, 16, 3], shown=False)
    join(JOINED, shown=True)


def measure(widths: list[int], *, shown: bool) -> None:
    """Time regions, maps, edges and boundary of one partition, one after the other."""
    partition = sc.compute_partition(mlp(widths), SQUARE)
    clock = Clock(shown)
    if shown:
        print(f"\n{','.join(map(str, widths))}: {partition.n_regions:,} regions\n")
    clock.time("regions: `summarize_regions`", lambda: sc.summarize_regions(partition))
    maps = clock.time("maps: `region_maps`", lambda: sc.region_maps(partition))
    clock.time("norms and integrals", lambda: (maps.mean_slope_norm, maps.mean_output, maps.agop))
    clock.time("edges: `slope_changes`", lambda: maps.slope_changes)
    clock.time("`unit_statistics`", lambda: sc.unit_statistics(partition))
    clock.time("`layer_statistics`", lambda: sc.layer_statistics(partition))
    clock.time("`bend_angles`", lambda: sc.bend_angles(partition))
    boundary = clock.time("boundary: `decision_boundary`", lambda: sc.decision_boundary(partition))
    clock.time("`boundary_curves`", lambda: sc.boundary_curves(boundary))
    samples = clock.time("`sample_boundary`", lambda: sc.sample_boundary(boundary, SAMPLES))
    clock.time("`boundary_distance`", lambda: sc.boundary_distance(boundary, samples.uv[::-1]))
    clock.time("`region_margins`", lambda: sc.region_margins(maps))
    clock.time("`units_near_boundary`", lambda: sc.units_near_boundary(boundary, 0.01))
    clock.report("all of it")


def join(widths: list[int], *, shown: bool) -> None:
    """Time the graph of one partition."""
    partition = sc.compute_partition(mlp(widths), SQUARE)
    clock = Clock(shown)
    if shown:
        print(f"\n{','.join(map(str, widths))}: {partition.n_regions:,} regions\n")
    clock.time("`adjacency_graph`", lambda: sc.adjacency_graph(partition))


class Clock:
    """Times jobs, and says how long they took if that is to be shown."""

    def __init__(self, shown: bool):
        self._shown = shown
        self._total = 0.0

    def time(self, name: str, job: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = job()
        elapsed = time.perf_counter() - start
        self._total += elapsed
        if self._shown:
            print(f"{elapsed:8.2f} s  {name}", flush=True)
        return result

    def report(self, name: str) -> None:
        if self._shown:
            print(f"{self._total:8.2f} s  {name}", flush=True)


if __name__ == "__main__":
    main()
