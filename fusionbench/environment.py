"""The environment variables, read where users come in: by the command line and the Python interface, nowhere else.

``FUSIONBENCH_PLUGINS``: folders of plugins, separated like ``PATH``. ``FUSIONBENCH_CACHE``, ``FUSIONBENCH_DATA`` and
``FUSIONBENCH_OUT``: see :class:`fusionbench.runtime.locations.Locations`. ``FUSIONBENCH_PICTURES``: where fused
pictures are kept. ``FUSIONBENCH_WHO``: who signs results; the system's name of the user is never asked.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from fusionbench.errors import FusionbenchError
from fusionbench.runtime import locations, pictures_at
from fusionbench.runtime.files import printable

WHO, LONGEST = "FUSIONBENCH_WHO", 100  # characters of a name
PICTURES = "FUSIONBENCH_PICTURES"
FOLDERS = {"cache": "FUSIONBENCH_CACHE", "data": "FUSIONBENCH_DATA", "results": "FUSIONBENCH_OUT"}


def apply(plugins: Iterable[str | Path] = ()) -> None:
    """Let this process use the folders that the environment names.

    Args:
        plugins: plugin folders besides those of ``FUSIONBENCH_PLUGINS``.
    """
    named = [text for text in os.environ.get("FUSIONBENCH_PLUGINS", "").split(os.pathsep) if text]
    plugins = tuple(plugins)
    every = tuple(dict.fromkeys(Path(os.path.abspath(folder)) for folder in [*named, *plugins]))
    folders = {field: Path(os.environ[name]) for field, name in FOLDERS.items() if os.environ.get(name)}
    who = named_who(os.environ.get(WHO, ""), WHO)
    locations.use(locations.Locations(every, tuple(map(str, plugins)), **folders, who=who))
    pictures_at.use(os.environ.get(PICTURES, ""))


def keep_pictures(address: str) -> None:
    """From now on pictures are kept there, whatever the environment says, where it is not empty."""
    if address:
        pictures_at.use(address)


def sign(who: str, option: str = "--who") -> None:
    """From now on results are signed by somebody, whatever the environment says; by nobody else where it is empty.

    Raises:
        FusionbenchError: it is no name.
    """
    if who := named_who(who, option):
        locations.use(replace(locations.current(), who=who))


def named_who(text: str, source: str) -> str:
    """Somebody's name as results keep it.

    Raises:
        FusionbenchError: more than one line, more than `LONGEST` characters, or what a terminal obeys.
    """
    name = text.strip()
    if len(name) > LONGEST or name != printable(name):
        raise FusionbenchError(f"{source}={name[:LONGEST]!r}: a name is one line of at most {LONGEST} characters")
    return name


def for_ray(own: bool) -> None:
    """Set what Ray reads in this process, which must not have imported it: nothing is sent to Ray's makers.

    Args:
        own: whether it begins a cluster. Its ports are open to the network: it asks for a token, by default a new one.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if own:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        if not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
