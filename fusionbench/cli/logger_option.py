"""The option of `train` that names loggers, and what of the environment says where each writes to."""

from __future__ import annotations

import os

import click

from fusionbench.cli.options import Comma

PLACES = {"wandb": "WANDB_MODE", "mlflow": "MLFLOW_TRACKING_URI"}  # where the user says that they write to
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
    """The loggers that are asked for, and where each writes to.

    Raises:
        FusionbenchError: no such logger, or it is not installed.
    """
    from fusionbench.training.loggers import named

    chosen = named(dict.fromkeys(names, ""))
    for variable, value in QUIET.items() if chosen else ():
        os.environ.setdefault(variable, value)
    return {name: os.environ.get(PLACES.get(name, ""), "") for name in chosen}
