"""Pictures that another program made: one file per pair, named like the pair."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from fusionbench.errors import FusionbenchError
from fusionbench.images import read_image
from fusionbench.method import Context, Method

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


class PictureError(FusionbenchError, ValueError):
    """A picture is missing or does not fit its pair."""


class Images(Method):
    """Reads ``dir/ID.png`` (or jpg, jpeg, bmp, tif, tiff) for every pair.

    Args:
        dir: the folder.
        name: what to call these pictures in tables.

    Raises:
        PictureError: no such folder.
    """

    def __init__(self, dir: str = "", name: str = "") -> None:
        super().__init__(dir=dir, name=name)
        self.folder = Path(dir)
        if not dir or not self.folder.is_dir():
            raise PictureError(
                f"{dir or 'images'}: no such folder; the option dir names a folder with one picture per pair"
            )

    def fuse(self, ir: Tensor, vis: Tensor, context: Context | None = None) -> Tensor:
        """The stored pictures in [0,1]: one channel when all of the batch are grey files, else three.

        Raises:
            PictureError: a picture is missing, unreadable or of another size than its pair.
        """
        ids = context.ids if context else []
        if len(ids) != len(ir):
            raise PictureError(f"{self.folder}: {len(ir)} pairs but {len(ids)} names; pictures are found by name")
        pictures = [self._read(name, tuple(ir.shape[-2:])) for name in ids]
        channels = max(p.shape[0] for p in pictures)
        return torch.stack([p.expand(channels, -1, -1) for p in pictures]).to(ir.device, ir.dtype) / 255

    def _read(self, name: str, size: tuple[int, ...]) -> Tensor:
        path = next((p for s in SUFFIXES if (p := self.folder / (name + s)).is_file()), None)
        if path is None:
            raise PictureError(
                f"{self.folder}: no picture {name}.png (or .jpg, .bmp, .tif); put it there under that name"
            )
        try:
            picture = torch.from_numpy(read_image(path))
        except FusionbenchError as error:
            raise PictureError(str(error)) from error
        if picture.shape[1:] != size:
            height, width = picture.shape[1:]
            raise PictureError(
                f"{path}: {height}x{width}, but its pair is {size[0]}x{size[1]} (height x width); "
                "save it in the size of the sources"
            )
        return picture
