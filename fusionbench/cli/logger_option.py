"""The option of `train` that names loggers, and what of the environment says where each writes to."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import click

from fusionbench.cli.options import Comma
from fusionbench.cli.spelling import note
from fusionbench.runtime.addresses import shown_of

PLACES = {"wandb": "WANDB_MODE", "mlflow": "MLFLOW_TRACKING_URI"}  # where the user says that they write to
KNOCK = 10.0  # seconds that a server has to answer
QUIET = {  # neither of them sends anything unless it is told to; MLflow keeps files only when told so, and asks twice
    "WANDB_ERROR_REPORTING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}

logger_option = click.option(
    "--logger",
    "loggers",
    type=Comma(),
    default=(),
    metavar="NAMES",
    help="Also tensorboard, wandb or mlflow, offline unless WANDB_MODE or MLFLOW_TRACKING_URI say otherwise.",
)


def chosen_loggers(names: tuple[str, ...]) -> dict[str, str]:
    """The loggers that are asked for, and where each writes to; one whose server does not answer is told, and left out.

    Raises:
        FusionbenchError: no such logger, or it is not installed.
    """
    from fusionbench.training.loggers import named

    chosen = named(dict.fromkeys(names, ""))
    for variable, value in QUIET.items() if chosen else ():
        os.environ.setdefault(variable, value)
    places = {name: os.environ.get(PLACES.get(name, ""), "") for name in chosen}
    for name, why in {name: unanswered(place) for name, place in places.items()}.items():
        if why:
            note(f"--logger {name}: the run goes on without it, {why}")
            del places[name]
    return places


def unanswered(address: str) -> str:
    """Why a server at an address of the web cannot be used, "" where it answers: MLflow would ask again for minutes."""
    try:
        parts = urlsplit(address)
        host, direct = parts.hostname, parts.scheme not in getproxies()
        if parts.scheme not in ("http", "https") or not host or not (direct or proxy_bypass(host)):
            return ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((host, port), KNOCK).close()
    except (OSError, ValueError, OverflowError) as error:
        return f"nobody answers at {shown_of(address)} ({error})"
    return ""
