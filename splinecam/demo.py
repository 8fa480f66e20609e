"""The main job on real data: a classifier of handwritten digits, seen through three of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from tqdm import trange

from splinecam.errors import SplineCamError

SHOWN_CLASSES = (3, 8, 0)
"""The digits whose images span the slice."""

WIDTHS = (64, 128, 128, 128, 10)
EPOCHS = 60
BATCH = 64
LEARNING_RATE = 2e-3


@dataclass(frozen=True, eq=False)
class DigitClassifier:
    """A trained classifier and what it is looked at with.

    Parameters
    ----------
    model : nn.Sequential
        A ReLU network from flattened 8×8 images, pixels in [0, 1], to ten logits.
    accuracy : float
        On the test images.
    images : ndarray
        (3, 64) float32: test images of different classes, all classified rightly.
    labels : tuple of int
        Their classes.
    """

    model: nn.Sequential
    accuracy: float
    images: np.ndarray
    labels: tuple[int, ...]


def train_digit_classifier(seed: int = 0, *, progress: bool = False) -> DigitClassifier:
    """Train a classifier of scikit-learn's digits, in a few seconds on a processor.

    It is trained on one thread, because rounding, and with it the weights, depends on their number.
    The global random generators and torch's threads are left as they were.

    Parameters
    ----------
    seed : int
        Decides the split, the initial weights and the batches.
    progress : bool
        Show a progress bar.

    Raises
    ------
    SplineCamError
        If scikit-learn is not installed.
    """
    train_x, test_x, train_y, test_y = _split_digits(seed)
    with _one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _relu_network()
        optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
        for _ in trange(EPOCHS, desc="training", unit="epoch", disable=not progress):
            for batch in torch.randperm(len(train_x)).split(BATCH):
                optimiser.zero_grad()
                nn.functional.cross_entropy(model(train_x[batch]), train_y[batch]).backward()
                optimiser.step()
    with torch.no_grad():
        correct = model(test_x).argmax(dim=1) == test_y
    shown = [int(torch.nonzero(correct & (test_y == digit))[0]) for digit in SHOWN_CLASSES]
    accuracy = correct.double().mean().item()
    return DigitClassifier(model, accuracy, test_x[shown].numpy(), SHOWN_CLASSES)


@contextmanager
def _one_thread() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _relu_network() -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(WIDTHS):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _split_digits(seed: int) -> list[torch.Tensor]:
    """Training and test images in [0, 1], then training and test labels."""
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise SplineCamError(
            "the demo needs scikit-learn's digits: pip install 'splinecam[demo]'"
        ) from error
    pixels, labels = load_digits(return_X_y=True)
    images = (np.asarray(pixels) / 16).astype(np.float32)
    parts = train_test_split(images, labels, random_state=seed, stratify=labels)
    return [torch.from_numpy(part) for part in parts]
