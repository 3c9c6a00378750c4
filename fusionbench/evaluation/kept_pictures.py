"""Scoring of pictures wherever the store keeps them.

A file of its own, as a score's key is a hash of the code in `scoring`: where pictures lie moves no number, as read is
only what has the recorded pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fusionbench.errors import DataError, FusionbenchError
from fusionbench.evaluation.scoring import ImageScores, Picture, Scorer, reason_of


class KeptScorer(Scorer):
    """Scores what lies in the store's folder or at its address.

    Attributes:
        unread: (key of the entry, hash of the picture) to why it cannot be had now, though it may be there.
    """

    def __init__(self, *words: Any, **more: Any) -> None:
        super().__init__(*words, **more)
        self.unread: dict[tuple[str, str], str] = {}

    def _read(self, picture: Picture, result: ImageScores) -> np.ndarray | None:
        """The pixels, or None where they are not those that were fused, or cannot be had."""
        try:
            return self.store.shelf.read(picture.path, picture.digest)  # scored is what was saved, re-read
        except DataError as error:
            result.changed[picture.entry.key] = reason_of(error)
        except FusionbenchError as error:
            self.unread[picture.entry.key, picture.digest] = reason_of(error)
        return None
