"""The pages of the documentation site that are made when it is built. See ``docs_hook.py``."""

from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
