"""The environment variables, read where users come in: by the command line and the Python interface, nowhere else.

``FUSIONBENCH_PLUGINS``: folders of plugins, separated like ``PATH``. ``FUSIONBENCH_CACHE``, ``FUSIONBENCH_DATA`` and
``FUSIONBENCH_OUT``: see :class:`fusionbench.runtime.locations.Locations`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from fusionbench.runtime import locations

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
    locations.use(locations.Locations(every, tuple(map(str, plugins)), **folders))
