"""Pictures that another program made: one file per pair, named like the pair."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from fusionbench.data import Pattern, partners
from fusionbench.errors import FusionbenchError
from fusionbench.images import read_image
from fusionbench.method import Context, Method


class PictureError(FusionbenchError, ValueError):
    """A picture is missing or does not fit its pair."""


class Images(Method):
    """Reads ``dir/ID.png`` (or another format of pictures) for every pair.

    Args:
        dir: the folder.
        name: what to call these pictures in tables.
        pattern: their names around the pair's, see :class:`fusionbench.data.Pattern`.
        places: JSON; by dataset, another ``dir`` and ``files``, image to file where names do not say it.

    Raises:
        PictureError: no such folder.
    """

    def __init__(self, dir: str = "", name: str = "", pattern: str = "{id}", places: str = "") -> None:
        super().__init__(dir=dir, name=name, pattern=pattern, places=places)
        self.folder, self.pattern = Path(dir), Pattern(pattern)
        self.places = json.loads(places) if places else {}
        self.indices: dict[str, dict[str, Path]] = {}
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
        dataset = context.dataset if context else ""
        pictures = [self._read(self._path(dataset, name), tuple(ir.shape[-2:])) for name in ids]
        channels = max(p.shape[0] for p in pictures)
        return torch.stack([p.expand(channels, -1, -1) for p in pictures]).to(ir.device, ir.dtype) / 255

    def _path(self, dataset: str, name: str) -> Path:
        place = self.places.get(dataset, {})
        folder = Path(place.get("dir", self.folder))
        if name in (files := place.get("files", {})):
            return Path(files[name])
        if dataset not in self.indices:
            self.indices[dataset] = self.pattern.find(folder)
        index = self.indices[dataset]
        path = index.get(name) or partners([name], index).get(name)
        if path is None:
            raise PictureError(
                f"{folder}: no picture {self.pattern.text.replace('{id}', name)}.png (or .jpg, .bmp, .tif, .webp); "
                "put it there under that name"
            )
        return path

    def _read(self, path: Path, size: tuple[int, ...]) -> Tensor:
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
