"""How much memory may be taken."""

from __future__ import annotations

SHARE = 0.8
"""Of what is free, where no limit is given."""


def available(memory: int | None) -> int:
    """Bytes that may still be taken, where this process is to stay below so many, if any."""
    import psutil  # which partitions of few regions do without

    free = psutil.virtual_memory().available
    if memory is None:
        return int(SHARE * free)
    return min(free, memory - psutil.Process().memory_info().rss)
