"""Fixtures of the data tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from _data_samples import first_ids, opened, sample_for

from fusionbench.data import Dataset


@pytest.fixture
def make(tmp_path: Path):
    """Writes ``count`` samples of a dataset's split and opens it afresh: ``make("msrs", "test", 2)``."""

    def build(name: str, split: str = "test", count: int = 2, root: Path | None = None) -> Dataset:
        root = root or tmp_path / name
        writer = opened(name, root)
        for ident in first_ids(writer, split, count):
            writer.write(sample_for(writer, split, ident), split)
        return opened(name, root)

    return build
