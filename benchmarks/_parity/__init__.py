"""How far our numbers are from those of others: what is measured, and how it is written. See ``parity.py``."""

import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "tests/metrics"))  # for _oracles: reference values, their images, the cards' claims
