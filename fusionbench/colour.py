"""Luma and chroma. Public name of :mod:`fusionbench.pixels.colour`, for plugins."""

from fusionbench.pixels.colour import VARIANTS, grey, luma, luma_u8, recombine, to_rgb, to_ycbcr

__all__ = ["VARIANTS", "grey", "luma", "luma_u8", "recombine", "to_rgb", "to_ycbcr"]
