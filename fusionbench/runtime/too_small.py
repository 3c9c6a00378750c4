"""Whether PyTorch says that an image has too little room for a layer."""

from __future__ import annotations

import re

# Of padding by mirroring, convolution and pooling without padding, derivatives, and statistics over one value.
_SAID = re.compile(
    r"Padding size should be less than"
    r"|Kernel size can't be greater than"
    r"|[Oo]utput size is too small"
    r"|torch\.gradient expected each dimension size"
    r"|Expected more than 1 (value per channel|spatial element)"
)


def is_too_small(error: BaseException) -> bool:
    """Whether an error says so."""
    return isinstance(error, (RuntimeError, ValueError)) and _SAID.search(str(error)) is not None
