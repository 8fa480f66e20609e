"""Running kernels on ranges, side by side."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache, cached_property
from threading import Lock
from types import TracebackType
from typing import Any

import numpy as np
from threadpoolctl import OpenBLASController, ThreadpoolController

BLOCKS = 16
"""Ranges into which one pass is cut at most; a constant, so that no result depends on threads."""


class Workers:
    """Helps the calling thread with a thread pool, started when it is first needed.

    Parameters
    ----------
    executor : concurrent.futures.Executor or None
        Runs the helpers; it must run them in this process. None: a pool of its own that, with the
        calling thread, takes each processor that this process may use.
    n_helpers : int, optional
        How many threads help. Default: one for each processor but the caller's.
    """

    def __init__(self, executor: Executor | None = None, n_helpers: int | None = None):
        self._executor = executor
        self._helpers = n_helpers
        self._blas_is_limited = False
        self._stack = ExitStack()

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def run(self, kernel: Callable[..., Any], n_items: int, *args: Any, grain: int) -> list[Any]:
        """Call ``kernel(start, stop, *args)`` on ranges of about equal length.

        Fewer than `grain` items are not worth waking a thread.
        """
        if n_items < grain or n_items == 1:
            return [kernel(0, n_items, *args)]
        n_blocks = min(BLOCKS, n_items)
        bounds = [n_items * i // n_blocks for i in range(n_blocks + 1)]
        return self._map(kernel, bounds, args)

    def run_balanced(
        self, kernel: Callable[..., Any], offsets: np.ndarray, *args: Any, grain: int
    ) -> list[Any]:
        """Call ``kernel(start, stop, *args)`` on ranges of about equal work.

        `offsets` (n + 1,) ascends by the work of each of the n items; less than `grain` is not
        worth waking a thread.
        """
        n_items = len(offsets) - 1
        work = int(offsets[-1])
        if work < grain or n_items == 1:
            return [kernel(0, n_items, *args)]
        n_blocks = min(BLOCKS, n_items)
        targets = [work * i // n_blocks for i in range(1, n_blocks)]
        bounds = [0, *np.searchsorted(offsets, targets).tolist(), n_items]
        return self._map(kernel, bounds, args)

    def limit_blas(self) -> None:
        """Keep numpy's matrix products to the thread that calls them, as long as this is open.

        Products that run side by side slow each other down many times over if each starts threads,
        and how they are shared out among these changes their rounding.
        """
        if not self._blas_is_limited:
            self._stack.enter_context(_one_blas_thread())
            self._blas_is_limited = True

    def _map(self, kernel: Callable[..., Any], bounds: list[int], args: tuple) -> list[Any]:
        results: list[Any] = [None] * (len(bounds) - 1)
        waiting = deque(range(len(results)))

        def drain() -> None:
            while waiting:
                try:
                    block = waiting.popleft()
                except IndexError:
                    return
                results[block] = kernel(bounds[block], bounds[block + 1], *args)

        helpers = [self._pool().submit(drain) for _ in range(self._n_helpers)]
        try:
            drain()
        finally:
            waiting.clear()
            # A helper that has not started by now has nothing left to do.
            for helper in helpers:
                if not helper.cancel():
                    helper.result()
        return results

    @cached_property
    def _n_helpers(self) -> int:
        return n_processors() - 1 if self._helpers is None else self._helpers

    def _pool(self) -> Executor:
        if self._executor is None:
            pool = ThreadPoolExecutor(max(1, self._n_helpers), "splinecam")
            self._executor = self._stack.enter_context(pool)
        return self._executor


def n_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on all systems
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


def _free_blas() -> None:
    """Let any thread set limits: from threadpoolctl 3.8 on, only the one that did so first may.

    The last that asks for a limit may be another thread than the first.
    """
    if hasattr(OpenBLASController, "clear_controlling_thread"):
        OpenBLASController.clear_controlling_thread(force=True)


class _Limit:
    """Lets products of this process start no threads, from the first that asks to the last."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._n_users = 0

    def begin(self) -> None:
        with self._lock:
            if not self._n_users:
                _free_blas()
                self._limiter = _blas().limit(limits=1, user_api="blas")
            self._n_users += 1

    def end(self) -> None:
        with self._lock:
            self._n_users -= 1
            if not self._n_users:
                _free_blas()
                self._limiter.restore_original_limits()
                _free_blas()


_limit = _Limit()


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    _limit.begin()
    try:
        yield
    finally:
        _limit.end()
