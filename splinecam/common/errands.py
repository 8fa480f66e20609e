"""Work for any executor, whose workers may be threads, other processes or other machines.

What crosses to another process is made of plain bytes here. torch teaches `multiprocessing` to
*share* tensors, which moves their memory and leaves numpy arrays that view it pointing at nothing;
others hand arrays out that cannot be written to.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from threading import Lock
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import uuid4

from splinecam.common.workers import n_processors
from splinecam.errors import ExecutorError, InvalidArgumentError

PROTOCOL = 5
"""Of pickle: arrays that cannot be written to stay so."""

AHEAD = 64
"""Pieces of work that are handed out before the first of them is waited for."""

SMALL = 2**20
"""Bytes up to which a shared value goes with every errand."""

REMEMBERED = 2
"""Shared values that a process keeps, of those that came from elsewhere."""

Value = TypeVar("Value")
Item = TypeVar("Item")
Made = TypeVar("Made")

_arrived: OrderedDict[str, Any] = OrderedDict()
_arriving = Lock()


class Shared(Generic[Value]):
    """A value that many errands may need; if it is large, it goes only where one asks for it.

    Parameters
    ----------
    value : object
    """

    def __init__(self, value: Value):
        self._token = uuid4().hex
        self._value = value

    def get(self) -> Value:
        """The value; in other processes `_Missing` is raised as long as it has not come there."""
        return self._value

    @cached_property
    def content(self) -> bytes:
        """The value as it is sent."""
        return pickle.dumps(self._value, PROTOCOL)

    def enclosed(self) -> _Enclosed:
        """The same for an errand that was sent without the value, but needs it."""
        return _Enclosed(self._token, self.content)

    def __reduce__(self) -> tuple[Any, ...]:
        is_small = len(self.content) <= SMALL
        return _Arrived, (self._token, self.content if is_small else None)


class _Enclosed(NamedTuple):
    """A shared value on its way."""

    token: str
    content: bytes

    def __reduce__(self) -> tuple[Any, ...]:
        return _Arrived, tuple(self)


class _Arrived:
    """A shared value in another process."""

    def __init__(self, token: str, content: bytes | None):
        self._token = token
        with _arriving:
            if content is not None and token not in _arrived:
                _arrived[token] = pickle.loads(content)
                while len(_arrived) > REMEMBERED:
                    _arrived.popitem(last=False)
            self._found = [_arrived[token]] if token in _arrived else []

    def get(self) -> Any:
        if not self._found:
            raise _Missing
        return self._found[0]


class _Missing(Exception):  # noqa: N818 (it is no error: the errand is sent again)
    """A shared value has not come to this process yet."""


class Parcel(Generic[Item]):
    """What goes to another process as plain bytes; in this one it stays as it is."""

    def __init__(self, item: Item):
        self.item = item

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, (pickle.dumps(self.item, PROTOCOL),)


def _opened(content: bytes) -> Parcel[Any]:
    return Parcel(pickle.loads(content))


class _Errand(NamedTuple):
    """Calls ``function(shared, item)``, wherever that may be; None if it lacks the shared value."""

    function: Callable[[Any, Any], Any]
    shared: Shared[Any] | _Enclosed | _Arrived
    item: Parcel[Any]

    def __call__(self) -> Parcel[Any] | None:
        try:
            return Parcel(self.function(self.shared, self.item.item))
        except _Missing:
            return None


class _Sent(NamedTuple):
    errand: _Errand
    future: Future[Parcel[Any] | None]


def run_errands(
    executor: Executor,
    function: Callable[[Shared[Value], Item], Made],
    shared: Shared[Value],
    items: Iterable[Item],
) -> Generator[Made, None, None]:
    """Call ``function(shared, item)`` on items in an executor; yield the results in order.

    Unlike `Executor.map` it takes only so many items before their results are taken from it. Close
    the iterator to call off what has not begun.

    Parameters
    ----------
    executor : concurrent.futures.Executor
    function : callable
        One that can be sent, as can the items and what it makes of them.
    shared : Shared
    items : iterable

    Raises
    ------
    ExecutorError
        If the executor breaks down, as a pool does when one of its processes is killed.
    """
    waiting: deque[_Sent] = deque()

    def submit(errand: _Errand) -> _Sent:
        return _Sent(errand, executor.submit(errand))

    def first_result() -> Made:
        waiting[0].future.result()
        for k, (errand, future) in enumerate(waiting):
            if future.done() and not future.exception() and future.result() is None:
                waiting[k] = submit(errand._replace(shared=shared.enclosed()))
        made = waiting.popleft().future.result()
        assert made is not None
        return made.item

    try:
        for item in items:
            waiting.append(submit(_Errand(function, shared, Parcel(item))))
            if len(waiting) == AHEAD:
                yield first_result()
        while waiting:
            yield first_result()
    except BrokenExecutor as error:
        raise ExecutorError(
            f"executor: the {type(executor).__name__} broke down, most likely because one of its "
            f"workers was killed ({error})"
        ) from error
    finally:
        for sent in waiting:
            sent.future.cancel()


class InPlace(Executor):
    """Runs work at once, where it is handed out."""

    def submit(self, fn: Callable[..., Made], /, *args: Any, **kwargs: Any) -> Future[Made]:
        """Call a function; what it raises is raised here."""
        future: Future[Made] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def check_executor(executor: Any) -> None:
    """Refuse what is no executor."""
    if executor is not None and not isinstance(executor, Executor):
        raise InvalidArgumentError(
            f"executor is a {type(executor).__name__}; accepted: a concurrent.futures.Executor, "
            "or None"
        )


@contextmanager
def own_threads() -> Iterator[ThreadPoolExecutor]:
    """A thread for each processor; when an error ends the work, those that are busy are left."""
    executor = ThreadPoolExecutor(n_processors(), "splinecam")
    is_done = False
    try:
        yield executor
        is_done = True
    finally:
        executor.shutdown(wait=is_done, cancel_futures=True)


@contextmanager
def in_this_process(executor: Executor) -> Iterator[Executor]:
    """The executor itself, if it has threads of this process; else threads of its own."""
    if isinstance(executor, ThreadPoolExecutor | InPlace):
        yield executor
    else:
        with own_threads() as threads:
            yield threads
