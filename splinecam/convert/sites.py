"""Where in the user's model something happens: the module, and the line of its forward pass."""

from __future__ import annotations

import functools
import os
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from textwrap import shorten
from types import CodeType, FrameType, TracebackType

import torch
from torch import nn

_LIBRARIES = (
    *(str(path) + os.sep for path in (Path(str(torch.__file__)).parent, Path(__file__).parents[1])),
    functools.__file__,  # whose decorators stand between
)


@dataclass(frozen=True, eq=False)
class Site:
    """A place in the execution of a model's forward pass.

    Parameters
    ----------
    module : nn.Module
        The innermost module whose forward runs.
    path : str
        Its path in the model.
    find_line : callable
        Finds file, line number and text of the user's line that is being executed; asked when a
        message needs it.
    """

    module: nn.Module
    path: str
    find_line: Callable[[], str | None]

    @property
    def is_ready_made(self) -> bool:
        """Whether the forward is torch's own, so that the path alone says which operation runs."""
        return str(type(self.module).forward.__module__).startswith("torch.nn.")

    def step_name(self, function: str) -> str:
        """Name of the step that `function` makes here; never empty."""
        return self.path if self.is_ready_made and self.path else join(self.path, function)

    def __str__(self) -> str:
        """Describe the site for a message."""
        where, line = place(self.module, self.path), self.find_line()
        return where if self.is_ready_made or line is None else f"{where}, {line}"


def join(path: str, name: str) -> str:
    """The path of something inside the module at `path` (the root's path is empty)."""
    return f"{path}.{name}" if path else name


def place(module: nn.Module, path: str) -> str:
    """The path and the type of a module, for messages."""
    return f"'{path}' ({type(module).__name__})" if path else f"the model ({type(module).__name__})"


def line_in_stack(outermost: CodeType) -> str | None:
    """The user's line that is being executed, in what the function `outermost` has called."""
    frames = takewhile(lambda item: item[0].f_code is not outermost, traceback.walk_stack(None))
    return _innermost_line(frames)


def line_in_traceback(trace: TracebackType | None, innermost: CodeType) -> str | None:
    """The user's line from which an error came, looked for outside of `innermost`."""
    frames = takewhile(lambda item: item[0].f_code is not innermost, traceback.walk_tb(trace))
    return _innermost_line(reversed(list(frames)))


def _innermost_line(frames: Iterable[tuple[FrameType, int]]) -> str | None:
    """First line that belongs neither to torch nor to us, of frames with the innermost first."""
    for frame, number in frames:
        file = frame.f_code.co_filename
        if not file.startswith(_LIBRARIES):
            text = traceback.FrameSummary(file, number, frame.f_code.co_name).line
            quoted = f" (`{shorten(text, 100)}`)" if text else ""
            return f"{Path(file).name} line {number}{quoted}"
    return None
