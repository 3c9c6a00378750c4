"""The environment variables, read where users come in: by the command line and the Python interface, nowhere else.

``FUSIONBENCH_PLUGINS``: folders of plugins, separated like ``PATH``. ``FUSIONBENCH_CACHE``, ``FUSIONBENCH_DATA`` and
``FUSIONBENCH_OUT``: see :class:`fusionbench.runtime.locations.Locations`.
"""

from __future__ import annotations

import os
import secrets
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
    every = tuple(dict.fromkeys(Path(os.path.abspath(folder)) for folder in [*named, *plugins]))
    folders = {field: Path(os.environ[name]) for field, name in FOLDERS.items() if os.environ.get(name)}
    locations.use(locations.Locations(every, **folders))


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
