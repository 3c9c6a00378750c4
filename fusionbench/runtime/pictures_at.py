"""Where this process keeps fused pictures; set by the command line or `fusionbench.api`.

Apart from `locations`, which stands in the hash of the code that trains networks: where pictures lie moves no number.
"""

from __future__ import annotations

HERE = "here"  # in place of an address: the folder of the results, whatever an earlier run has done

_address = ""


def current() -> str:
    """The address, `HERE`, or "" where none was named."""
    return _address


def use(address: str) -> None:
    """From now on, in this process, pictures are kept there."""
    global _address
    _address = address
