"""Reading image files. Public name of :mod:`fusionbench.pixels.images`, for plugins."""

from fusionbench.pixels.images import grey, image_size, read_image

__all__ = ["grey", "image_size", "read_image"]
