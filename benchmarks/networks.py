"""The networks that are measured."""

from __future__ import annotations

from collections.abc import Sequence
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
