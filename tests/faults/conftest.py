"""Places that fsspec opens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

SECRET = "AKIAverysecret"


@pytest.fixture
def memory() -> Iterator[Any]:
    """fsspec's files in memory, which a process has once."""
    found = fsspec.filesystem("memory")
    found.store.clear()
    found.pseudo_dirs[:] = [""]
    yield found
    found.store.clear()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket ``lab`` on a server of this machine that speaks S3."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": SECRET,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    found = fsspec.filesystem("s3", skip_instance_cache=True)
    if found.exists("lab"):  # moto's state outlives its server
        found.rm("lab", recursive=True)
    found.mkdir("lab")
    yield found
    fsspec.filesystem("s3").clear_instance_cache()
    server.stop()


def put(files: Any, folder: Path, place: str) -> None:
    files.put(f"{folder}/", f"{place}/", recursive=True)
