"""Any text as LaTeX that prints it: what the fonts of a plain document lack by its number, never as something else."""

from __future__ import annotations

import re
import unicodedata

from fusionbench.runtime.files import printable

PLAIN = {
    "\\": r"\textbackslash{}",
    "_": r"\_",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "≥": r"$\ge$",
    "≤": r"$\le$",
    "×": r"$\times$",
    "–": "--",
    "—": "---",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
    "«": r"$\ll$",
    "»": r"$\gg$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "←": r"$\leftarrow$",
    "→": r"$\rightarrow$",
    "∞": r"$\infty$",
    "−": "$-$",
    **dict.fromkeys("\n\r\t", " "),
}
ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0323": "d",
    "\u0327": "c",
    "\u0331": "b",
}
GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu "
    "nu xi pi rho sigma tau upsilon phi chi psi omega"
)
CAPITAL_GREEK = "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"  # the others look like Latin letters


LONGEST = 50  # characters of a word that fits into a column


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it is.

    Letters that the fonts of pdfLaTeX lack stand in it as they are, for XeLaTeX and LuaLaTeX; pdfLaTeX prints their
    numbers instead, so that names stay different. See :func:`remark`.
    """
    composed = unicodedata.normalize("NFC", printable(text, "\n\r\t"))
    return _LACKING.sub(_by_number, "".join(_character(c) for c in composed))


def breakable(latex: str) -> str:
    """Text in which words that are longer than a column may be broken after a plus, as recipes are written."""
    return " ".join(w.replace("+", r"+\allowbreak{}") if len(w) > LONGEST else w for w in latex.split(" "))


def typed(text: str) -> str:
    """What a user wants printed: LaTeX where it has a backslash or a dollar sign, else text that prints as it is."""
    return printable(text) if "\\" in text or "$" in text else escape_latex(text)


def remark(text: str) -> list[str]:
    """Comments for a document with escaped text: what to do where it holds letters that pdfLaTeX has no font for."""
    if not _LACKING.search(text):
        return []
    return [
        "% Some names hold letters that the fonts of pdfLaTeX lack, which prints their numbers. XeLaTeX and LuaLaTeX",
        r"% print them, with a font that has them: \usepackage{fontspec}\setmainfont{Noto Serif CJK SC} or another.",
    ]


def document(table: str, bibliography: str = "") -> str:
    """A page of two columns as wide as those of IEEE's journals, to look at a table.

    Args:
        table: what it takes in.
        bibliography: the ``.bib`` file, without suffix; "" for none.
    """
    end = [r"\bibliographystyle{plain}", rf"\bibliography{{{bibliography}}}"] if bibliography else []
    lines = [
        r"\documentclass[10pt,twocolumn]{article}",
        r"\usepackage{booktabs,graphicx,xcolor}",
        r"\usepackage[textwidth=516pt,textheight=680pt,columnsep=12pt]{geometry}",
        *fonts(table),
        r"\begin{document}",
        table.rstrip("\n"),
        *end,
        r"\end{document}",
    ]
    return "\n".join(["% !TEX program = xelatex" if fonts(table) else "% !TEX program = pdflatex", *lines]) + "\n"


def fonts(text: str) -> list[str]:
    """For the preamble of a document with escaped text: a font that has its letters, the first that there is.

    Nothing where pdfLaTeX has them all; pdfLaTeX, which prints numbers for the others, passes over it.
    """
    letters = "".join(match[0] for match in _LACKING.finditer(text))
    if not letters:
        return []
    wide = any(unicodedata.east_asian_width(c) in "WF" for c in letters)
    chosen = (
        r"\PackageWarning{fusionbench}{no font here has all letters of the names: set one with \string\setmainfont}"
    )
    for name in reversed(CJK_FONTS if wide else OTHER_FONTS):
        chosen = rf"\IfFontExistsTF{{{name}}}{{\setmainfont{{{name}}}}}{{{chosen}}}"
    return [r"\ifdefined\Umathcode", r"\usepackage{fontspec}", chosen, r"\fi"]


CJK_FONTS = (
    "Noto Serif CJK SC",
    "Noto Sans CJK SC",
    "Source Han Serif SC",
    "FandolSong-Regular.otf",
    "SimSun",
    "Songti SC",
)
OTHER_FONTS = ("DejaVu Serif", "FreeSerif", "Noto Serif", "Times New Roman")
_LACKING = re.compile(r"[^\x00-\xff]+|[ÐðÞþ]+")  # the latter are in Latin-1, but in none of these fonts


def _by_number(match: re.Match[str]) -> str:
    numbers = " ".join(f"U+{ord(c):04X}" for c in match[0])
    return rf"\ifdefined\Umathcode {match[0]}\else\texttt{{[{numbers}]}}\fi{{}}"


def _character(c: str) -> str:
    """One character; a letter that fonts lack, and for which LaTeX has no other way, as it is."""
    if c in PLAIN:
        return PLAIN[c]
    if c <= "\xff":
        return c
    base, *marks = list(unicodedata.normalize("NFD", c))
    if len(marks) == 1 and marks[0] in ACCENTS and base.isascii() and base.isalpha():
        dotless = base in "ij" and ACCENTS[marks[0]] not in "cdb"
        return rf"\{ACCENTS[marks[0]]}{{{chr(92) if dotless else ''}{base}}}"
    return _greek(c) or c


def _greek(c: str) -> str:
    """A Greek letter as mathematics has it, "" for everything else."""
    size, _, letter = unicodedata.name(c, "").removeprefix("GREEK ").partition(" LETTER ")
    letter = letter.lower().replace("lamda", "lambda")
    if size == "SMALL" and letter in GREEK.split() and letter != "omicron":
        return rf"$\{letter}$"
    if size == "CAPITAL" and letter.capitalize() in CAPITAL_GREEK.split():
        return rf"$\{letter.capitalize()}$"
    return ""
