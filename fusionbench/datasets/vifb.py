"""VIFB: 21 test pairs with published results, jpg, sizes differ from pair to pair.

Layout: flat ``IR`` and ``VI`` (in its repository under ``input``). Traps: some infrared files are grey, some have three
channels; one pair is spelt ``peopleShadow`` in one folder and ``peopleshadow`` in the other, and ``VI`` holds a stray
copy of ``manCall``; VIFB itself scores every colour channel and averages.
"""

from __future__ import annotations

from fusionbench.data import Dataset


class Vifb(Dataset):
    """The VIFB set; all it needs is on its card."""
