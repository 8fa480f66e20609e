"""Work sent through executors: threads, processes and a real Dask cluster give the same bits."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from comparison import assert_identical, default_mlp
from splinecam import (
    ExecutorError,
    InsufficientMemoryError,
    InvalidArgumentError,
    Partition,
    PartitionStream,
    RegionLimitError,
    Slice,
    compute_partition,
    compute_partitions,
)
from splinecam.common import errands
from splinecam.common.errands import Parcel, Shared, run_errands
from splinecam.tiling import jobs

USUAL = jobs.FEW_UNITS

FEW_UNITS = 45
"""Makes 226 tiles of the example."""

KILLED = 100
"""The piece of work that kills its worker, when others have been handed out for long."""

SQUARE = Slice.box((-1, 1), (-1, 1))


class Pooled(nn.Module):
    """Convolution, residual sum and max-pool; the pool's windows of zeros tie over areas."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 3, 3, stride=2, padding=1)
        self.body = nn.Conv2d(3, 3, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = torch.relu(self.stem(x))
        second = torch.relu(self.body(first) + first)
        return self.head(self.pool(second).flatten(1))


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "FEW_UNITS", FEW_UNITS)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Pooled()


@pytest.fixture(scope="module")
def slice_() -> Slice:
    return Slice.through(np.random.default_rng(5).normal(size=(3, 1, 8, 8)), pad=0.1)


@pytest.fixture(scope="module")
def whole(model: nn.Module, slice_: Slice) -> Partition:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "FEW_UNITS", FEW_UNITS)
        return compute_partition(model, slice_)


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        yield executor


@pytest.fixture(scope="module")
def dask() -> Iterator[Executor]:
    import distributed  # takes seconds

    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client.get_executor()


@pytest.fixture(params=["processes", "dask"])
def elsewhere(request: pytest.FixtureRequest) -> Executor:
    """An executor whose workers are other processes."""
    return request.getfixturevalue(request.param)


# --- partitions --------------------------------------------------------------------------------


def test_other_processes_change_nothing(elsewhere, model, slice_, whole):
    for _ in range(2):  # the second time with what the first one left there, and here
        assert_identical(compute_partition(model, slice_, executor=elsewhere), whole)


def test_number_of_workers_changes_nothing(model, slice_, whole):
    for n in (1, 3):
        with ThreadPoolExecutor(n) as executor:
            assert_identical(compute_partition(model, slice_, executor=executor), whole)


def test_large_programs_are_sent_on_demand(processes, model, slice_, whole, monkeypatch):
    monkeypatch.setattr(errands, "SMALL", 0)
    assert_identical(compute_partition(model, slice_, executor=processes), whole)


def test_chains_in_one_piece_take_any_executor(processes):
    model = default_mlp(2, 16, 16, 1)
    expected = compute_partition(model, SQUARE)
    assert_identical(compute_partition(model, SQUARE, executor=processes), expected)


def test_streams_go_through_processes(elsewhere, model, slice_, whole):
    stream = PartitionStream(model, slice_, executor=elsewhere)
    there = [tile.areas for tile in stream]
    here = [tile.areas for tile in PartitionStream(model, slice_)]
    for some, others in zip(there, here, strict=True):
        np.testing.assert_array_equal(some, others)
    assert stream.count_regions() == whole.n_regions


# --- lists of slices ---------------------------------------------------------------------------


def test_lists_of_slices_go_through_any_executor(elsewhere, model, slice_, monkeypatch):
    monkeypatch.setattr(jobs, "FEW_UNITS", USUAL)  # as the other processes have it
    slices = [slice_, Slice(slice_.origin, slice_.basis, slice_.polygon / 2, slice_.input_shape)]
    expected = [compute_partition(model, slice_) for slice_ in slices]
    found = compute_partitions(model, slices, executor=elsewhere)
    for p, q in zip(found, expected, strict=True):
        assert_identical(p, q)
        assert not p.vertices.flags.writeable


def test_lists_of_slices_are_as_one_by_one(model, slice_, whole):
    mlp = default_mlp(2, 16, 16, 1)
    boxes = [Slice.box((x, x + 1), (0, 1)) for x in range(5)]
    for found, box in zip(compute_partitions(mlp, boxes), boxes, strict=True):
        assert_identical(found, compute_partition(mlp, box))
    (found,) = compute_partitions(model, iter([slice_]))
    assert_identical(found, whole)
    assert compute_partitions(model, []) == []


def test_slice_that_fails_is_named(processes):
    boxes = [Slice.box((0, 1e-9), (0, 1e-9)), SQUARE]
    for executor in (None, processes):
        with pytest.raises(RegionLimitError, match="max_regions is 20") as caught:
            compute_partitions(default_mlp(2, 16, 1), boxes, max_regions=20, executor=executor)
        assert caught.value.__notes__ == ["in slices[1]"]
        assert caught.value.max_regions == 20
        assert caught.value.partition.n_regions == 1


def test_progress_counts_slices(capfd):
    compute_partitions(default_mlp(2, 8, 1), [SQUARE] * 3)
    assert capfd.readouterr().err == ""
    compute_partitions(default_mlp(2, 8, 1), [SQUARE] * 3, progress=True)
    assert "3/3" in capfd.readouterr().err


# --- workers that are killed -------------------------------------------------------------------


class KilledOnce(Executor):
    """Lets one of the workers of another executor be killed in the middle of its work."""

    def __init__(self, inner: Executor, mark: Path):
        self._inner = inner
        self._mark = mark
        self._n_seen = 0

    def submit(self, fn, /, *args, **kwargs) -> Future:
        self._n_seen += 1
        if self._n_seen == KILLED:
            return self._inner.submit(_die, self._mark, fn)
        return self._inner.submit(fn, *args, **kwargs)


def _die(mark: Path, function):
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return function()
    os.kill(os.getpid(), signal.SIGKILL)
    return None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_dask_goes_on_when_a_worker_is_killed(dask, model, slice_, whole, tmp_path):
    executor = KilledOnce(dask, tmp_path / "mark")
    assert_identical(compute_partition(model, slice_, executor=executor), whole)
    assert (tmp_path / "mark").exists()


def test_stream_goes_on_after_a_pool_broke_down(model, slice_, whole, tmp_path):
    folder = tmp_path / "stream"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        executor = KilledOnce(pool, tmp_path / "mark")
        stream = PartitionStream(model, slice_, executor=executor, folder=folder)
        with pytest.raises(ExecutorError, match="KilledOnce broke down"):
            list(stream)
    n_done = stream.totals.n_tiles
    assert KILLED - errands.AHEAD <= n_done < stream.n_tiles
    resumed = PartitionStream(model, slice_, folder=folder)
    assert len(list(resumed)) == resumed.n_tiles - n_done
    assert resumed.count_regions() == whole.n_regions


def test_partition_refuses_a_pool_that_breaks_down(model, slice_, tmp_path):
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        executor = KilledOnce(pool, tmp_path / "mark")
        with pytest.raises(ExecutorError, match="broke down"):
            compute_partition(model, slice_, executor=executor)


# --- errands -----------------------------------------------------------------------------------


class Lazy(Executor):
    """Runs nothing, until it is told to."""

    def __init__(self) -> None:
        self.futures: list[Future] = []

    def submit(self, fn, /, *args, **kwargs) -> Future:
        self.futures.append(Future())
        return self.futures[-1]


def _plus(shared: Shared[int], item: int) -> int:
    return shared.get() + item


def test_interrupt_calls_off_what_has_not_begun(model, slice_):
    """As Ctrl-C does: the signal arrives while the main thread waits for a tile."""
    executor = Lazy()
    timer = threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT])
    errand = run_errands(executor, _plus, Shared(1), range(100))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        next(errand)
    timer.join()
    assert len(executor.futures) == errands.AHEAD
    assert all(future.cancelled() for future in executor.futures)


def test_closing_calls_off_what_has_not_begun():
    executor = Lazy()
    errand = run_errands(executor, _plus, Shared(1), range(100))
    threading.Timer(0.1, lambda: executor.futures[0].set_result(Parcel(7))).start()
    assert next(errand) == 7
    errand.close()
    assert all(future.cancelled() for future in executor.futures[1:])


def test_sending_does_not_touch_tensors():
    """`multiprocessing` moves the memory of tensors that it sends as such."""
    tensor = torch.arange(4.0)
    view = tensor.numpy()
    for sent in (Shared(tensor), Parcel(tensor)):
        multiprocessing.reduction.ForkingPickler.dumps(sent)
    assert np.shares_memory(view, tensor.numpy())


def test_arrays_arrive_as_they_were():
    frozen = np.arange(3.0)
    frozen.setflags(write=False)
    arrays = {"C": np.ones((2, 3)), "F": np.asfortranarray(np.ones((2, 3))), "frozen": frozen}
    found = pickle.loads(pickle.dumps(Parcel(arrays), 5, buffer_callback=lambda buffer: None)).item
    for name, array in arrays.items():
        flags = ("C_CONTIGUOUS", "F_CONTIGUOUS", "WRITEABLE")
        assert [found[name].flags[f] for f in flags] == [array.flags[f] for f in flags]


def test_errors_arrive_whole(model, slice_, whole):
    limit = RegionLimitError("too many", whole, 7, 5, (whole, whole))
    found = pickle.loads(pickle.dumps(limit))
    assert (str(found), found.n_regions, found.max_regions) == ("too many", 7, 5)
    assert [p.n_regions for p in (found.partition, *found.tiles)] == 3 * [whole.n_regions]
    found = pickle.loads(pickle.dumps(InsufficientMemoryError("too much", 7, 5)))
    assert (str(found), found.needed, found.available) == ("too much", 7, 5)


@pytest.mark.parametrize("function", [compute_partition, PartitionStream])
def test_what_is_no_executor_is_refused(function):
    with pytest.raises(InvalidArgumentError, match="executor is a int; accepted"):
        function(default_mlp(2, 4, 1), SQUARE, executor=4)


def test_what_is_no_slice_is_refused():
    with pytest.raises(InvalidArgumentError, match=r"slices\[1\] is a int; accepted: a Slice"):
        compute_partitions(default_mlp(2, 4, 1), [SQUARE, 4])
