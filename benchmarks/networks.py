"""The networks that are measured, and the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import nn

import splinecam as sc

SQUARE = sc.Slice.box((-1, 1), (-1, 1))


def mlp(widths: Sequence[int]) -> nn.Sequential:
    """`nn.Linear` as torch initialises it after ``manual_seed(0)``, with ReLU between."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        linear = [nn.Linear(k, d) for k, d in pairwise(widths)]
    layers = [layer for pair in linear for layer in (pair, nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def seconds(job: Callable[[], object]) -> float:
    """Wall time of one run."""
    start = time.perf_counter()
    job()
    return time.perf_counter() - start
