"""Where a store's pictures lie: in its folder, or at an address that keeps them; what cannot be kept there stays here.

Written and read are plain paths below ``fused/`` alone, and what is read back has the recorded pixels or is refused. An
address comes from the one who gives the command, never from a file: the note that a run leaves in the folder is shown.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from uuid import uuid4

import numpy as np

from fusionbench.counting import counted
from fusionbench.errors import DataError, FusionbenchError
from fusionbench.pixels.images import picture_digest, read_image, write_image
from fusionbench.results.merged_pictures import is_safe
from fusionbench.results.remote import LARGEST_PICTURE, Elsewhere, place_of
from fusionbench.results.schema import FusedRow
from fusionbench.results.storage_errors import storage_error
from fusionbench.runtime import pictures_at
from fusionbench.runtime.addresses import shown_of
from fusionbench.runtime.pictures_at import HERE

NOTE = "pictures-at.txt"  # in the folder of results: for people, and for messages
LONGEST = 2000  # bytes of the note


def shelf_of(folder: Path) -> Shelf:
    """The pictures of a folder of results, with the address that this process was given.

    Raises:
        FusionbenchError: it is no address.
    """
    address = pictures_at.current()
    return Shelf(folder) if address in ("", HERE) else KeptElsewhere(folder, place_of(address))


class Shelf:
    """Pictures in the folder of the results.

    Args:
        folder: of the results.

    Attributes:
        notes: what to tell, a line each.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes: list[str] = []

    @property
    def told(self) -> str:
        """Where an earlier run has kept pictures, as its note says; "" where there is none."""
        try:
            with (self.folder / NOTE).open("rb") as file:
                return shown_of(file.read(LONGEST).decode("utf-8", "replace").partition("\n")[0])
        except OSError:
            return ""

    @property
    def elsewhere(self) -> str:
        """What to say where pictures are missed that an earlier run has kept elsewhere; "" where that is not so."""
        told = self.told
        return f"the pictures are kept at {told}; FUSIONBENCH_PICTURES={told} reads them" if told else ""

    def begin(self) -> None:
        """Look whether pictures can be kept, before a run writes any.

        Raises:
            FusionbenchError: an earlier run kept them elsewhere.
        """
        if told := self.told:
            if pictures_at.current() != HERE:
                raise FusionbenchError(
                    f"{self.folder}: its pictures are kept at {told}; give pictures_at={told}, "
                    f"or pictures_at={HERE} to make them again in the folder"
                )
            (self.folder / NOTE).unlink()

    def there(self, paths: Iterable[str]) -> set[str]:
        """Those of some paths that a picture lies at."""
        return {path for path in paths if (self.folder / path).is_file()}

    def save(self, path: str, picture: np.ndarray) -> None:
        """Write a picture, as :func:`fusionbench.pixels.images.write_image`."""
        write_image(self.folder / path, picture)

    def read(self, path: str, digest: str) -> np.ndarray:
        """A picture, uint8 ``[1 or 3,H,W]``, as :func:`fusionbench.pixels.images.read_image`.

        Raises:
            DataError: it is not there, or not what was saved.
            FusionbenchError: it cannot be reached.
        """
        place = self.folder / path
        if not place.is_file() and (line := self.elsewhere):
            raise DataError(f"{place}: not here; {line}")
        return _same(read_image(place), place, digest)

    def file(self, path: str, digest: str) -> Path:
        """Where a picture lies as a file of this machine, until the shelf is closed; as :meth:`read`."""
        return self.folder / path

    def brought(self, path: str) -> tuple[Path, str]:
        """The folder below which a picture's file lies if anywhere, and why it is refused, or ""."""
        return self.folder, ""

    def settled(self, rows: Callable[[], Sequence[FusedRow]]) -> list[str]:
        """Bring pictures of the folder to where they are kept; what to tell of this run, a line each."""
        return self.notes

    def close(self) -> None:
        """Remove what was brought."""

    def __enter__(self) -> Shelf:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class KeptElsewhere(Shelf):
    """Pictures at an address; one that lies in the folder counts too.

    Args:
        folder: of the results.
        place: where they are kept.
    """

    def __init__(self, folder: Path, place: Elsewhere) -> None:
        super().__init__(folder)
        self.place = place
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._lost, self._making = False, Lock()

    @property
    def elsewhere(self) -> str:
        """Nothing, where the note names this address."""
        return "" if self.told == self.place.name else super().elsewhere

    @property
    def private(self) -> Path:
        """A folder of this user alone, for what is on its way."""
        with self._making:
            if self._scratch is None:
                self._scratch = tempfile.TemporaryDirectory(prefix="fusionbench-")
        return Path(self._scratch.name)

    def begin(self) -> None:
        """Write something there and read it back; leave a note here.

        Raises:
            FusionbenchError: that cannot be done.
        """
        name, told = f"fused/probe-{uuid4().hex}", self.told
        target = self.private / "probe"
        self.place.put(name, name.encode())
        try:
            if self.place.bring(name, target, LARGEST_PICTURE) or target.read_bytes() != name.encode():
                raise FileNotFoundError
        except FileNotFoundError:
            raise FusionbenchError(f"{self.place.name}: what is written there does not come back") from None
        finally:
            self.place.remove(name)
        if told and told != self.place.name:
            self.notes.append(f"pictures were kept at {told}; what is not at {self.place.name} is made again")
        try:
            (self.folder / NOTE).write_text(f"{self.place.name}\n", encoding="utf-8")
        except OSError as error:
            raise storage_error(self.folder / NOTE, error) from None

    def there(self, paths: Iterable[str]) -> set[str]:
        """One listing for each folder of them.

        Raises:
            FusionbenchError: it cannot be reached.
        """
        wanted = set(paths)
        found = super().there(wanted)
        folders: dict[str, list[str]] = {}
        for path in filter(is_safe, wanted - found):
            folders.setdefault(path.rpartition("/")[0], []).append(path)
        for folder, own in folders.items():
            names = self.place.names(folder)
            found |= {path for path in own if path.rpartition("/")[2] in names}
        return found

    def save(self, path: str, picture: np.ndarray) -> None:
        """Keep a picture there; after the first time that this cannot be done, here."""
        if not self._lost and is_safe(path):
            file = self.private / f"{uuid4().hex}.png"
            try:
                write_image(file, picture)
                self.place.put(path, file.read_bytes())
                (self.folder / path).unlink(missing_ok=True)  # an earlier one would be read in its place
                return
            except FusionbenchError as error:
                self._lose(error)
            finally:
                file.unlink(missing_ok=True)
        super().save(path, picture)

    def _lose(self, error: FusionbenchError) -> None:
        with self._making:
            if not self._lost:
                self.notes.append(f"{error}; pictures stay in {self.folder}, the same command brings them there")
            self._lost = True

    def read(self, path: str, digest: str) -> np.ndarray:
        """From the folder where it is there, else from the address; as in :class:`Shelf`."""
        if (self.folder / path).is_file():
            return super().read(path, digest)
        file = self.private / f"{uuid4().hex}.png"
        try:
            self._bring(path, file)
            return _same(read_image(file), f"{self.place.name}/{path}", digest)
        except DataError as error:
            raise DataError(str(error).replace(str(file), f"{self.place.name}/{path}")) from None
        finally:
            file.unlink(missing_ok=True)

    def file(self, path: str, digest: str) -> Path:
        """Brought, where it is not in the folder."""
        if (self.folder / path).is_file():
            return self.folder / path
        target = self.private / path
        if not target.is_file():
            self._bring(path, target)
            _same(read_image(target), f"{self.place.name}/{path}", digest)
        return target

    def brought(self, path: str) -> tuple[Path, str]:
        """Brought, where it is not in the folder; whoever asked removes it."""
        if not is_safe(path) or (self.folder / path).is_file():
            return self.folder, ""
        with suppress(FileNotFoundError):
            return self.private, self.place.bring(path, self.private / path, LARGEST_PICTURE)
        return self.folder, ""

    def _bring(self, path: str, target: Path) -> None:
        """Copy a picture's file to a place of this machine.

        Raises:
            DataError: it is not there, or too large.
            FusionbenchError: it cannot be reached.
        """
        where = f"{self.place.name}/{path}"
        if not is_safe(path):
            raise DataError(f"{where}: its path is not one of a fused picture")
        try:
            reason = self.place.bring(path, target, LARGEST_PICTURE)
        except FileNotFoundError:
            reason = "not there; run again"
        if reason:
            raise DataError(f"{where}: {reason}")

    def settled(self, rows: Callable[[], Sequence[FusedRow]]) -> list[str]:
        """Bring what lies in the folder there; removed here is what has come back with its pixels."""
        if not self._lost:
            self._settle(rows())
        return self.notes

    def _settle(self, rows: Sequence[FusedRow]) -> None:
        left = 0
        for row in rows:
            file = self.folder / row.path
            if not is_safe(row.path) or file.is_symlink() or not file.is_file():
                continue
            try:
                _same(read_image(file), file, row.image)
                self.place.put(row.path, file.read_bytes())
                back = self.private / f"{uuid4().hex}.png"
                self._bring(row.path, back)
                _same(read_image(back), f"{self.place.name}/{row.path}", row.image)
                back.unlink()
                file.unlink()
            except DataError:
                left += 1
            except FusionbenchError as error:
                self._lose(error)
                return
        if left:
            self.notes.append(f"{counted(left, 'picture', 'stay')} in {self.folder}: not what the record says")

    def close(self) -> None:
        """Remove what was brought."""
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None


def _same(pixels: np.ndarray, place: object, digest: str) -> np.ndarray:
    """Pixels, if they are those that were saved.

    Raises:
        DataError: they are not.
    """
    if picture_digest(pixels) != digest:
        raise DataError(f"{place}: changed since it was fused; run again")
    return pixels
