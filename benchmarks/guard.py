"""What exactness costs: the engine against itself as it was before it was guarded.

Run with ``python -m benchmarks.guard``, in a clone with its history. Each engine runs warm in a
process of its own, in turn with the other. What else has changed since counts as well. The last
column counts the cuts that had to ask exact arithmetic.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from statistics import median
from unittest import mock

import splinecam as sc
from benchmarks.networks import SQUARE, mlp, seconds

UNGUARDED = "a7d1fd1"
"""The last commit whose engine takes every sign and every order from float64."""

ROOT = Path(__file__).parents[1]

COMPARED = [
    ([2, 64, 64, 64, 1], 41),
    ([2, 128, 128, 128, 1], 31),
    ([2, 256, 256, 1], 31),
    ([2, 1000, 1], 25),
]
"""Widths, and how many times each engine runs."""

Process = subprocess.Popen[str]


def main() -> None:
    print("| widths | regions | guarded | unguarded | ratio | exact |")
    print("|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        unpack(UNGUARDED, Path(folder))
        guarded, unguarded = start(ROOT), start(Path(folder))
        for widths, n_runs in COMPARED:
            times = [(run(guarded, widths), run(unguarded, widths)) for _ in range(2 + n_runs)]
            ours, theirs = (median(column) for column in zip(*times[2:], strict=True))
            n_regions, n_exact = count(widths)
            print(
                f"| {','.join(map(str, widths))} | {n_regions:,} | {1e3 * ours:.2f} ms "
                f"| {1e3 * theirs:.2f} ms | {ours / theirs:.2f}× | {n_exact} |",
                flush=True,
            )
        for process in (guarded, unguarded):
            process.communicate()


def unpack(commit: str, folder: Path) -> None:
    """Write the package as it was into a folder, beside these benchmarks."""
    command = ["git", "archive", "--format=zip", commit, "splinecam"]
    archive = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    zipfile.ZipFile(io.BytesIO(archive.stdout)).extractall(folder)
    shutil.copytree(ROOT / "benchmarks", folder / "benchmarks")


def start(folder: Path) -> Process:
    """Start a process that takes `splinecam` from a folder."""
    return subprocess.Popen(
        [sys.executable, "-c", "from benchmarks.guard import serve; serve()"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run(process: Process, widths: Sequence[int]) -> float:
    """Seconds that one partition takes there."""
    assert process.stdin
    assert process.stdout
    print(json.dumps(widths), file=process.stdin, flush=True)
    return json.loads(process.stdout.readline())


def serve() -> None:
    """Read widths, a list a line; write how long the partition of that network takes."""
    for line in sys.stdin:
        model = mlp(json.loads(line))
        print(seconds(lambda model=model: sc.compute_partition(model, SQUARE)), flush=True)


def count(widths: Sequence[int]) -> tuple[int, int]:
    """Regions of a network, and how many cuts asked exact arithmetic."""
    resolver = import_module("splinecam.cutting.resolve").Resolver  # the unguarded package has none
    with mock.patch("splinecam.cutting.subdivision.Resolver", wraps=resolver) as counted:
        n_regions = sc.compute_partition(mlp(widths), SQUARE).n_regions
    return n_regions, counted.call_count


if __name__ == "__main__":
    main()
