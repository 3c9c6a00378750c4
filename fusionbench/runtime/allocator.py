"""Memory that is freed stays with the process.

glibc hands large blocks back to the system as soon as they are freed, and gets them anew, page by page, for the next
layer's output. For networks and metrics on whole images that costs more time than the arithmetic.
"""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -2, -3, -4, -8  # malloc.h
_MiB = 1 << 20


def keep_memory() -> bool:
    """Ask the C library to keep freed memory for reuse, in this process, from now on.

    Memory use stays at its peak. Best called before any thread is started: all threads then share one store, as a
    block freed by one thread is often what another needs next.

    Returns:
        Whether it applied: True with glibc, False (and nothing done) elsewhere.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # Some versions refuse a high threshold; having no separate mappings at all is then the same thing.
    raised = mallopt(_MMAP_THRESHOLD, 1024 * _MiB) or mallopt(_MMAP_MAX, 0)
    trimmed = mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
    mallopt(_TOP_PAD, 64 * _MiB)
    mallopt(_ARENA_MAX, 1)
    return bool(raised and trimmed)
