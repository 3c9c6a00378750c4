"""Pairs for what is done on a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import make_tree


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with 18 pairs: three units; not to be changed."""
    folder = tmp_path_factory.mktemp("data")
    make_tree(folder, 18, (32, 40))
    return folder
