"""Settings of a recipe: an mmengine ``Config`` file, a named size, ``key=value`` options. No torch in here."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from fusionbench.errors import FusionbenchError
from fusionbench.plugins.cards import did_you_mean

PRECISIONS = ("fp32", "bf16", "fp16")
FREE = ("workers", "save_every", "picture_every", "half", "tensorboard")  # may change on resume, no loss depends on it


@dataclass(frozen=True)
class Settings:
    """What the loop itself reads: the section ``train`` of a config.

    Attributes:
        epochs: how often ``Recipe.batches`` is asked for an epoch.
        seed: decides initial weights, data order and augmentation.
        precision: ``fp32``, ``bf16`` or ``fp16`` (autocast; fp16 with loss scaling).
        workers: threads that load batches ahead; the numbers do not depend on it.
        log_every: steps between two lines of the loss log.
        save_every: steps between two checkpoints; each epoch ends with one in any case.
        validate_every: epochs between two validations.
        picture_every: epochs between two sets of sample pictures, 0 for none.
        half: weights are saved in float16 at the end, half as large; training and checkpoints stay as they are.
        tensorboard: also write TensorBoard files, where that package is installed.
    """

    epochs: int = 1
    seed: int = 0
    precision: str = "fp32"
    workers: int = 0
    log_every: int = 1
    save_every: int = 200
    validate_every: int = 1
    picture_every: int = 1
    half: bool = False
    tensorboard: bool = True

    @staticmethod
    def of(config: Any) -> Settings:
        """From a config.

        Raises:
            FusionbenchError: unknown key, or a value that makes no sense.
        """
        given = dict(plain_config(config).get("train", {}))
        known = [f.name for f in fields(Settings)]
        for name in given:
            if name not in known:
                raise FusionbenchError(f"no setting 'train.{name}'; {did_you_mean(name, known)}")
        settings = Settings(**given)
        if settings.precision not in PRECISIONS:
            raise FusionbenchError(f"train.precision={settings.precision}: choose one of {', '.join(PRECISIONS)}")
        for name in ("epochs", "log_every", "save_every", "validate_every"):
            if getattr(settings, name) < 1:
                raise FusionbenchError(f"train.{name}={getattr(settings, name)}: must be at least 1")
        for name in ("seed", "workers", "picture_every"):
            if getattr(settings, name) < 0:
                raise FusionbenchError(f"train.{name}={getattr(settings, name)}: must be at least 0")
        return settings


def need_positive(config: Any, *keys: str) -> None:
    """Refuse settings that are not above 0; None is left to whoever reads it.

    Raises:
        FusionbenchError: naming the first.
    """
    for key in keys:
        value = _lookup(plain_config(config), key)
        if value is not None and (isinstance(value, (str, bool)) or not value > 0):
            raise FusionbenchError(f"{key}={value}: must be a number above 0")


def need_pair(config: Any, *keys: str) -> None:
    """Refuse settings that are neither None nor two numbers above 0.

    Raises:
        FusionbenchError: naming the first.
    """
    for key in keys:
        value = config[key]
        right = isinstance(value, (list, tuple)) and len(value) == 2
        if value is not None and not (right and all(isinstance(n, (int, float)) and n > 0 for n in value)):
            raise FusionbenchError(f"{key}={value}: needs two numbers above 0, such as {key}=(96,128)")


def load_config(
    path: str | Path, options: Sequence[str] = (), size: str | None = None, network: str | None = None
) -> Any:
    """Read a config file and apply a network's settings, a size, then options.

    Args:
        path: an mmengine config (``.py``, ``.json`` or ``.yaml``, with ``_base_``). A Python config is executed.
        options: ``key=value`` or ``section.key=value``; only settings that the file has can be changed.
        size: a key of the file's section ``sizes``, whose values replace those of the full recipe.
        network: becomes the setting ``network``; its values in the file's section ``networks``, if any, replace the
            file's own. Its own sizes are merged into the file's.

    Returns:
        An ``mmengine.Config`` without the sections ``sizes`` and ``networks``.

    Raises:
        FusionbenchError: no such file or size, an unreadable file, an unknown key, or a value of another kind.
    """
    from mmengine.config import Config

    if not Path(path).is_file():
        raise FusionbenchError(f"{path}: no such config file")
    try:
        config = Config.fromfile(str(path))
    except Exception as error:
        # A config is a program, so anything may come out of it.
        raise FusionbenchError(f"{path}: not a readable config ({type(error).__name__}: {error})") from None
    if network is not None:
        config.merge_from_dict({**config.pop("networks", {}).get(network, {}), "network": network})
    sizes = config.pop("sizes", {})
    if size is not None:
        if size not in sizes:
            raise FusionbenchError(f"{path}: no size {size!r}; {did_you_mean(size, sizes)}")
        config.merge_from_dict(dict(sizes[size]))
    for option in options:
        key, equals, text = option.partition("=")
        if not equals:
            raise FusionbenchError(f"option {option!r} is not key=value")
        config.merge_from_dict({key: _fitting(key, parse(text), _lookup(plain_config(config), key))})
    return config


def parse(text: str) -> Any:
    """The value of an option: a Python literal, ``true``, ``false`` or ``none`` in any case, else the text."""
    word = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in word:
        return word[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _lookup(config: Mapping[str, Any], key: str) -> Any:
    """The present value of a dotted key. A section ``train`` may leave the loop's settings at their defaults."""
    defaults = {f"train.{f.name}": f.default for f in fields(Settings)}
    here: Any = config
    for part in key.split("."):
        if not isinstance(here, Mapping) or part not in here:
            if key in defaults:
                return defaults[key]
            every = [*defaults, *dict(flat(config))]
            raise FusionbenchError(f"no setting {key!r} in this recipe; {did_you_mean(key, every)}")
        here = here[part]
    return here


def _fitting(key: str, value: Any, old: Any) -> Any:
    number = isinstance(old, (int, float)) and not isinstance(old, bool)
    if number and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise FusionbenchError(f"{key}={value}: needs a number, such as {old}")
    if isinstance(old, int) and isinstance(value, float):
        raise FusionbenchError(f"{key}={value}: needs a whole number, such as {old}")
    if isinstance(old, Mapping) and not isinstance(value, Mapping):
        raise FusionbenchError(
            f"{key}={value}: is a section; change one of its settings, such as {key}.{next(iter(old))}"
        )
    if isinstance(old, bool) and not isinstance(value, bool):
        raise FusionbenchError(f"{key}={value}: needs true or false")
    return value


def config_text(config: Any) -> str:
    """A config as JSON; ``Config.fromstring(text, ".json")`` reads it back."""
    return json.dumps(plain_config(config), indent=1, default=str) + "\n"


def plain_config(config: Any) -> dict[str, Any]:
    """A config as dicts; an ``mmengine.Config`` is none."""
    return config.to_dict() if hasattr(config, "to_dict") else dict(config)


def flat(section: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values."""
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def changed(old: str, new: str) -> list[str]:
    """What differs between two config texts and may not differ on resume: ``lr 0.1, now 0.2``."""
    before, after = (dict(flat(json.loads(text))) for text in (old, new))
    free = {f"train.{name}" for name in FREE}
    return [
        f"{key} {before.get(key, 'not set')}, now {after.get(key, 'not set')}"
        for key in sorted({*before, *after} - free)
        if before.get(key) != after.get(key)
    ]
