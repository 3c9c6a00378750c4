"""Salient object detection: CTDNet-18."""

from __future__ import annotations

from .ctdnet import CTDNet18

__all__ = ["CTDNet18"]
