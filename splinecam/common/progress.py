"""Progress bars, which show nothing unless they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(
    total: int, description: str, unit: str, *, shown: bool
) -> Iterator[Callable[[int], None]]:
    """What to call with the number of regions so far after each of so many layers, tiles, …."""
    if not shown:
        yield lambda n_regions: None
        return
    from tqdm import tqdm

    with tqdm(total=total, desc=description, unit=unit) as bar:

        def report(n_regions: int) -> None:
            bar.set_postfix(regions=f"{n_regions:,}", refresh=False)
            bar.update()

        yield report
