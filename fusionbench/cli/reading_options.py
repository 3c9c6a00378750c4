"""Options of the verbs that read pictures: how files are paired, and what deep infrared means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import click

from fusionbench.cli.options import Comma

if TYPE_CHECKING:
    from fusionbench.data.pairing import Reading

    RangeType = click.ParamType[tuple[float, float]]
else:
    RangeType = click.ParamType  # generic in newer versions of click only


class Range(RangeType):
    """``LO,HI``."""

    name = "LO,HI"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Two numbers."""
        if isinstance(value, tuple):
            return value
        try:
            low, high = map(float, str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not two numbers LO,HI", param, ctx)
        return low, high


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How pictures are read and paired where no card says it."""

    ir_range: Annotated[
        tuple[float, float] | None,
        click.option(
            "--ir-range", type=Range(), help="Levels of infrared with more than 8 bits that become black and white."
        ),
    ]
    pattern: Annotated[
        tuple[str, ...],
        click.option(
            "--pattern",
            type=Comma(),
            default=(),
            metavar="ROLE=NAME",
            help="Names of files, e.g. ir={id}_ir,vis={id}_vis,fused={id}_fused.",
        ),
    ]
    match: Annotated[
        str,
        click.option(
            "--match",
            default="name",
            metavar="name|order",
            help="order: what does not pair by name is paired in the order of names, 2 before 10.",
        ),
    ]
    rgbt4: Annotated[
        bool, click.option("--rgbt4", is_flag=True, help="Colour and thermal are the four channels of one file.")
    ]

    def reading(self) -> Reading:
        """The options as the library takes them."""
        from fusionbench.data.pairing import reading

        return reading(self.ir_range, self.pattern, self.match, self.rgbt4)
