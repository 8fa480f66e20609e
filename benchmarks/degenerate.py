"""Networks that leave float64 in doubt: how fast they are cut, and how fast a result is proved.

Run with ``python -m benchmarks.degenerate``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import nn

import splinecam as sc
from benchmarks.networks import SQUARE, mlp, seconds

RUNS = 5

FACTORS = torch.tensor([1.0, -1.0, 2.0, -2.0, 0.5, -0.5])


def main() -> None:
    print("| network | regions | time | regions/s | wanted |")
    print("|---|---:|---:|---:|---|")
    report("2,64,64,64,1 without biases", without_biases([2, 64, 64, 64, 1]), "0.1 s")
    report("2,64,64,1 of 3 bits", of_bits([2, 64, 64, 1], 3), "60,000/s")
    report("2,128,128,1 of proportional pairs", of_pairs([2, 128, 128, 1]), "50,000/s")
    report("2,128,128,1, 128 lines near a point", near_a_point([2, 128, 128, 1], 1e-13), "5 s")
    prove([2, 64, 64, 64, 1])


def report(name: str, model: nn.Sequential, wanted: str) -> None:
    """Print the time of one network's partition."""
    n_regions = sc.compute_partition(model, SQUARE).n_regions
    time = median(seconds(lambda: sc.compute_partition(model, SQUARE)) for _ in range(RUNS))
    rate = n_regions / time
    print(f"| {name} | {n_regions:,} | {time:.3f} s | {rate:,.0f} | {wanted} |", flush=True)


def prove(widths: Sequence[int]) -> None:
    """Print the time of a strict verification."""
    model = mlp(widths)
    partition = sc.compute_partition(model, SQUARE)
    time = seconds(lambda: sc.verify(partition, model, strict=True))
    print(f"\nverify(strict=True) of {partition.n_regions:,} regions: {time:.2f} s, wanted: 60 s")


def without_biases(widths: Sequence[int]) -> nn.Sequential:
    """A network whose units all vanish at the origin."""
    return changed(widths, lambda weight, bias: (weight, torch.zeros_like(bias)))


def of_bits(widths: Sequence[int], n_bits: int) -> nn.Sequential:
    """Weights and biases rounded to a few levels, zero among them, as quantised networks have."""

    def quantised(values: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        low = -(2 ** (n_bits - 1))
        return (values / scale).round().clamp(low, -low - 1) * scale

    def change(weight: torch.Tensor, bias: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scale = weight.abs().max() / (2 ** (n_bits - 1) - 0.5)
        return quantised(weight, scale), quantised(bias, scale)

    return changed(widths, change)


def of_pairs(widths: Sequence[int]) -> nn.Sequential:
    """One half of each layer's neurons are multiples, of either sign, of the other half."""

    def change(weight: torch.Tensor, bias: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        half = len(bias) // 2
        if half:
            factors = FACTORS[torch.arange(half) % len(FACTORS)]
            weight[half:] = factors[:, None] * weight[:half]
            bias[half:] = factors * bias[:half]
        return weight, bias

    return changed(widths, change)


def near_a_point(widths: Sequence[int], distance: float) -> nn.Sequential:
    """The first layer's lines pass a point in float64, no further than a distance from it."""
    model = mlp(widths).double()
    with torch.no_grad():
        first = model[0]
        point = torch.tensor([0.25, 0.125], dtype=torch.float64)
        offsets = torch.linspace(-distance, distance, widths[1], dtype=torch.float64)
        first.bias.copy_(first.weight.norm(dim=1) * offsets - first.weight @ point)
    return model


def changed(
    widths: Sequence[int],
    change: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
) -> nn.Sequential:
    """The usual network with the weight and bias of each layer changed."""
    model = mlp(widths)
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, nn.Linear):
                weight, bias = change(layer.weight.clone(), layer.bias.clone())
                layer.weight.copy_(weight)
                layer.bias.copy_(bias)
    return model


if __name__ == "__main__":
    main()
