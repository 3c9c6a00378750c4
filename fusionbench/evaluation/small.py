"""What torch says of a picture that is too small for a network, in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fusionbench.runtime.too_small import is_too_small

TINY = 128  # pixels of the smaller side, from which on such an error is about something else


def in_words(error: BaseException, size: tuple[int, int]) -> BaseException:
    """The error that says what is wrong with a picture of this height and width, or the one that there was."""
    if min(size) >= TINY or not is_too_small(error):
        return error
    small = ValueError(f"a pair of {size[1]}x{size[0]} pixels is too small for this method; take larger pictures")
    small.__cause__ = error
    return small


@contextmanager
def told(size: tuple[int, int]) -> Iterator[None]:
    """Inside, a picture of this height and width is made, and what fails is said as :func:`in_words` does.

    Raises:
        ValueError: it is too small.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if (said := in_words(error, size)) is error:
            raise
        raise said from error
