"""Memory: what the C library is told, so that what models and large bodies took goes back to the system."""

from __future__ import annotations

import contextlib
import ctypes

_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
LARGE = 4 << 20  # bytes


def settle() -> None:
    """Have blocks of LARGE bytes and more given back as soon as they are freed; called before anything large is made.

    glibc, once it has seen such a block freed, keeps the next ones (up to 32 MiB each, in every thread's arena) unless
    told not to.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library, or Windows
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE)


def give_back() -> None:
    """Give the free pages of all heaps back to the system. Allocations wait, for up to 20 ms."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
