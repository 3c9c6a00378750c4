"""Medical pairs: slices of one head by two instruments.

Layout: a folder per pair of instruments, one below it for each, as in CDDFuse's repository. MRI takes the place of
infrared in all three; PET and SPECT are published in false colours, which a fused picture keeps as it keeps those of a
visible image.
"""

from __future__ import annotations

from fusionbench.data import Dataset


class Medical(Dataset):
    """Pairs of the Harvard atlas; all they need is on the card."""
