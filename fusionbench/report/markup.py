"""Names of strangers' files and methods as text that Markdown, spreadsheets and terminals take as nothing else."""

from __future__ import annotations

from fusionbench.runtime.files import printable

MARKDOWN = {"\\": r"\\", "|": r"\|", "`": r"\`", "*": r"\*", "<": "&lt;", "&": "&amp;"}
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def escape_markdown(text: str) -> str:
    """Text as one line of Markdown or one cell of a table, which neither marks up nor links anything."""
    text = printable(" ".join(text.splitlines()))
    return "".join(MARKDOWN.get(c, c) for c in text).replace("](", "]\\(")


def csv_cell(text: str) -> str:
    """Text as a cell that no spreadsheet takes for a formula: behind a quote where it begins like one."""
    return f"'{text}" if text.startswith(FORMULA) else text
