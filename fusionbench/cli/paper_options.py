"""How `leaderboard` writes LaTeX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import click

from fusionbench.cli.options import Comma
from fusionbench.cli.words import OneOf
from fusionbench.commas import parted
from fusionbench.errors import FusionbenchError

if TYPE_CHECKING:
    from fusionbench.report.paper import Style


@dataclass(frozen=True, kw_only=True)
class PaperOptions:
    """What a table looks like in a paper."""

    order: Annotated[
        tuple[str, ...],
        click.option(
            "--order",
            type=Comma(),
            default=(),
            help="LaTeX: rows by rank, year, name or a metric, or these entries first [rank].",
        ),
    ]
    last: Annotated[
        tuple[str, ...],
        click.option("--last", type=Comma(), default=(), help="LaTeX: these entries below a rule at the end."),
    ]
    rename: Annotated[
        tuple[str, ...],
        click.option(
            "--rename",
            multiple=True,
            metavar="NAME=TEXT",
            help="LaTeX: what is printed for an entry, metric or dataset; repeatable.",
        ),
    ]
    caption: Annotated[str, click.option("--caption", default="", metavar="TEXT", help="LaTeX: in place of ours.")]
    label: Annotated[str, click.option("--label", default="", metavar="tab:NAME", help=r"LaTeX: for \ref.")]
    years: Annotated[bool, click.option("--years", is_flag=True, help="LaTeX: the year behind each name.")]
    cite: Annotated[
        bool, click.option("--cite", is_flag=True, help=r"LaTeX: \cite behind each name, its .bib beside -o.")
    ]
    marks: Annotated[
        str,
        click.option(
            "--marks",
            type=OneOf(("bold", "colour", "none"), {"colour": ("color", "red")}),
            default="bold",
            show_default=True,
            help="LaTeX: best and second in bold and underlined, or in red and blue.",
        ),
    ]
    digits: Annotated[
        int | None, click.option("--digits", type=click.IntRange(0, 12), help="LaTeX: decimals [those of each metric].")
    ]
    no_rank: Annotated[bool, click.option("--no-rank", is_flag=True, help="LaTeX: without the average rank.")]
    span: Annotated[
        str | None,
        click.option(
            "--span",
            type=OneOf(("column", "page")),
            help="LaTeX: as wide as a column or a page [what it fits].",
        ),
    ]
    standalone: Annotated[
        bool, click.option("--standalone", is_flag=True, help="LaTeX: a whole document, to look at it.")
    ]

    def style(self, kind: str, ci: bool, bibliography: str) -> Style | None:
        """The style that is asked for; None where the format is not LaTeX.

        Args:
            kind: the format.
            ci: whether means have intervals.
            bibliography: name of the ``.bib`` file beside the table, without suffix; "" where none is written.

        Raises:
            FusionbenchError: options of LaTeX for another format, or one that cannot be read.
        """
        from fusionbench.report.paper import Style

        if kind != "latex":
            if self != DEFAULTS:
                raise FusionbenchError(
                    "--order, --last, --rename, --caption and what else is of LaTeX: write to -o FILE.tex, or give "
                    "--format latex"
                )
            return None
        return Style(
            order=self.order,
            last=self.last,
            rename=dict(map(renamed, self.rename)),
            caption=self.caption,
            label=self.label,
            years=self.years,
            cite=self.cite,
            marks=self.marks,
            digits=self.digits,
            rank=not self.no_rank,
            ci=ci,
            span=self.span or "",
            standalone=self.standalone,
            bibliography=bibliography if self.cite else "",
        )


DEFAULTS = PaperOptions(
    order=(),
    last=(),
    rename=(),
    caption="",
    label="",
    years=False,
    cite=False,
    marks="bold",
    digits=None,
    no_rank=False,
    span=None,
    standalone=False,
)


def renamed(text: str) -> tuple[str, str]:
    """NAME and TEXT of ``images[Ours]=Ours`` or ``gff[r1=30]=GFF``: the equals sign behind the brackets parts them.

    Raises:
        FusionbenchError: it has none.
    """
    name, equals, shown = parted(text)
    if name and equals:
        return name, shown
    raise FusionbenchError(f"--rename {text}: is not NAME=TEXT, e.g. --rename Ours='Ours (full)'")
