"""Config files in OpenMMLab's format as plain dicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fusionbench.errors import FusionbenchError
from fusionbench.tasks.openmmlab.packages import MissingExtra

Config = dict[str, Any]  # nested dicts, lists and plain values, under the names of the classes' arguments


def read_settings(path: str | Path) -> Config:
    """A config file (``.py``, ``.json``, ``.yaml``; with ``_base_``) as plain dicts, lists and tuples.

    A ``.py`` file is Python that is run: never pass a path that came out of somebody else's file.

    Raises:
        FusionbenchError: no such file, or anything going wrong in it.
        MissingExtra: mmengine is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise FusionbenchError(f"{path}: no such config file")
    try:
        import mmengine.config
    except ModuleNotFoundError as error:
        raise MissingExtra("mmengine", error) from None
    try:
        settings: Config = mmengine.config.Config.fromfile(str(path)).to_dict()
    except Exception as error:
        # A config is a program of the user's, so anything can go wrong in it.
        raise FusionbenchError(f"{path}: cannot be read as a config: {type(error).__name__}: {error}") from None
    return settings


def read_config(path: str | Path) -> Config:
    """The ``model`` of a config file, see :func:`read_settings`.

    Raises:
        FusionbenchError: as there, or no model in it.
    """
    settings = read_settings(path)
    if not isinstance(settings.get("model"), dict):
        raise FusionbenchError(f"{path}: has no `model`")
    model: Config = settings["model"]
    return model


def set_classes(config: object, count: int) -> None:
    """Write the number of classes wherever a model's config names it, in place."""
    if isinstance(config, dict):
        if "num_classes" in config:
            config["num_classes"] = count
        for value in config.values():
            set_classes(value, count)
    elif isinstance(config, (list, tuple)):
        for value in config:
            set_classes(value, count)


def forget_downloads(config: object) -> None:
    """Take out what a model's config would download, in place."""
    if isinstance(config, dict):
        config.pop("pretrained", None)
        if isinstance(config.get("init_cfg"), dict) and config["init_cfg"].get("type") == "Pretrained":
            config["init_cfg"] = None
        for value in config.values():
            forget_downloads(value)
    elif isinstance(config, (list, tuple)):
        for value in config:
            forget_downloads(value)
