"""Formulas as docstrings and cards write them, drawn as MathML, which browsers show without any program.

The notation is the one of ``metrics/``: ``sum_k p_k log2(p_k / q_k)``, ``(2 s_XF + C)^2``, ``|a - b|``,
``||F - I||_2``. What stands before a quotient's stroke, joined by spaces, is above it, the one factor behind it below;
``sum``, ``mean``, ``prod`` and functions take the factors that follow. Of what is no such formula `mathml` makes None.
"""

from __future__ import annotations

import re
from html import escape

TOKEN = re.compile(r"\s*(\|\||[<>]=|\d*\.?\d+(?:e-?\d+)?|[A-Za-z]+\d*|'|[-+*/^_()|=~<>,;])")
BIG = {"sum": "∑", "prod": "∏"}
FUNCTIONS = ("cov", "exp", "ln", "log", "max", "mean", "min", "round", "sobel", "tan", "var")
GREEK = {"alpha": "α", "phi": "φ", "pi": "π"}
OPERATORS = {"-": "−", "*": "∗", "~": "∼", "<=": "≤", ">=": "≥"}
WORDS = ("as", "at", "be", "by", "if", "in", "is", "it", "no", "of", "on", "or", "to")  # of English
SPACE = '<mspace width="0.14em"></mspace>'
OPEN, CLOSE = (f'<mo lspace="0" rspace="0">{sign}</mo>' for sign in "()")
PRIME = "<mo>′</mo></msup>"
KNOWN = (*BIG, *FUNCTIONS, *GREEK, "sqrt", "vis")


class NoFormulaError(Exception):
    """The text is prose."""


def mathml(text: str, block: bool = False) -> str | None:
    """The formula as one MathML element, or None where the text is none."""
    if re.search(r"(\d*\.?\d+ ){2}\.?\d", text):
        return None  # a list of numbers
    try:
        body = Parser(" ".join(text.split())).whole()
    except NoFormulaError:
        return None
    display = ' display="block"' if block else ""
    return f'<math{display}><mstyle displaystyle="true">{body}</mstyle></math>'


def drawn(text: str) -> str:
    """A card's line with its formulas drawn: what begins a clause, or is one, and prose as it stands (HTML)."""
    return ", ".join("; ".join(map(clause, split(part, ";"))) for part in split(text, ","))


def clause(text: str) -> str:
    """Prose in which every longest run of words that is a formula with an operator in it is drawn."""
    words = text.split(" ")
    for start in range(len(words)):
        for end in range(len(words), start, -1):
            piece, after = " ".join(words[start:end]), " ".join(words[end:])
            if re.search(r"[_=^(/<>]|\bsum [a-z]", piece) and not re.match(r"[\d.]", after) and (made := mathml(piece)):
                return " ".join(filter(None, [escape(" ".join(words[:start])), made, after and clause(after)]))
    return escape(text)


def split(text: str, sign: str) -> list[str]:
    """The parts between signs that stand in no bracket and before a space."""
    parts, depth = [""], 0
    for at, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if letter == sign and depth == 0 and text[at + 1 : at + 2] == " ":
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def row(*parts: str) -> str:
    """Parts side by side as one."""
    return parts[0] if len(parts) == 1 else f"<mrow>{''.join(parts)}</mrow>"


def operator(sign: str, **attributes: str) -> str:
    """An operator or a bracket."""
    written = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f"<mo{written}>{escape(OPERATORS.get(sign, sign))}</mo>"


def is_prose(name: str) -> bool:
    """Whether a name is rather a word of a sentence."""
    if name in KNOWN or name.rstrip("0123456789") in FUNCTIONS:
        return False
    return name in WORDS or bool(re.search(r"[a-z]{4}", name)) or bool(re.fullmatch(r"[a-z]{3,}", name))


class Parser:
    """Recursive descent over the tokens of one formula."""

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        self.touching: list[bool] = []  # whether the token follows the one before without a space
        at = 0
        while at < len(text):
            found = TOKEN.match(text, at)
            if not found:
                raise NoFormulaError(text[at:])
            self.touching.append(found.start(1) == at)
            self.tokens.append(found[1])
            at = found.end()
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, *expected: str) -> str:
        token = self.peek()
        if not token or (expected and token not in expected):
            raise NoFormulaError(token)
        self.at += 1
        return token

    def whole(self) -> str:
        if len(self.tokens) < 2:
            raise NoFormulaError
        made = self.relation()
        if self.peek():
            raise NoFormulaError(self.peek())
        return made

    def relation(self) -> str:
        parts = [self.sum()]
        while self.peek() in ("=", "~", "<", ">", "<=", ">="):
            parts += [operator(self.take()), self.sum()]
        return row(*parts)

    def sum(self) -> str:
        parts = [operator(self.take())] if self.peek() == "-" else []
        parts.append(self.term())
        while self.peek() in ("+", "-"):
            parts += [operator(self.take()), self.term()]
        return row(*parts)

    def starts_factor(self) -> bool:
        token = self.peek()
        return bool(token) and (token == "(" or token[0].isalnum() or (token[0] == "." and len(token) > 1))

    def starts_operand(self) -> bool:
        """Whether what follows can be what a sum or a function takes."""
        return self.starts_factor() or (self.peek() == "|" and not self.open)

    def term(self) -> str:
        done: list[str] = []
        above = [self.factor()]
        while True:
            if self.peek() == "/":
                self.take()
                done.append(f"<mfrac>{bare(row(*above))}{bare(self.factor())}</mfrac>")
                above = []
            elif self.peek() == "*":
                (above or done).append(operator(self.take()))
                above.append(self.factor())
            elif self.starts_factor() or (self.peek() in ("|", "||") and not self.closing()):
                numbers = is_number(self.tokens[self.at - 1]) and is_number(self.peek())
                above += [operator("·") if numbers else SPACE, self.factor()]
            else:
                return row(*done, *above)

    def closing(self) -> bool:
        """Whether a stroke ends what another began: there is one open."""
        return self.open > 0 or self.peek() == "||"

    open = 0

    def factor(self) -> str:
        """One factor, with what a sum, a root or a function takes."""
        name = self.peek()
        stem = name.rstrip("0123456789")
        if name in BIG or (stem in FUNCTIONS and not self.applied()):
            return self.prefixed(name)
        if name == "sqrt":
            self.take()
            return f"<msqrt>{bare(self.factor())}</msqrt>"
        made = self.power()
        while self.peek() == "*" and self.touching[self.at] and self.touching[self.at + 1]:  # G*x: filtered
            made = row(made, operator(self.take()), self.power())
        return made

    def applied(self) -> bool:
        """Whether brackets follow the name at once, perhaps behind an index: what is in them is its argument."""
        at = self.at + 1
        while at + 1 < len(self.tokens) and self.tokens[at] == "_":
            at += 2
        return at < len(self.tokens) and self.tokens[at] == "(" and self.touching[at]

    def prefixed(self, name: str) -> str:
        self.take()
        index = self.index()
        if name in BIG:
            sign = operator(BIG[name])
            head = f"<munder>{sign}{index}</munder>" if index else sign
        else:
            head = symbol(name)
            head = f"<msub>{head}{index}</msub>" if index else head
        if name not in BIG and not self.starts_operand():
            return head  # a variable called like the function
        rest = [self.factor()]
        while self.starts_operand():
            rest += [SPACE, self.factor()]
        return row(head, SPACE, *rest)

    def index(self) -> str:
        """What stands behind ``_``, or ""."""
        if self.peek() != "_":
            return ""
        self.take()
        return symbol(self.take())

    def power(self) -> str:
        made = self.atom()
        if self.peek() == "^":
            self.take()
            exponent = self.exponent()
            if made.endswith(PRIME):
                return f"{made.removesuffix(PRIME)}<mrow><mo>′</mo>{exponent}</mrow></msup>"
            if found := re.fullmatch(r"<msub>(.*)</msub>", made):
                return f"<msubsup>{found[1]}{exponent}</msubsup>"
            return f"<msup>{made}{exponent}</msup>"
        return made

    def exponent(self) -> str:
        if self.peek() == "(":
            return bare(self.bracketed())
        made, index = symbol(self.take()), self.index()
        return f"<msub>{made}{index}</msub>" if index else made

    def atom(self) -> str:
        token = self.peek()
        if token == "(":
            return self.bracketed()
        if token in ("|", "||"):
            return self.stroked()
        if not (token[:1].isalnum() or token[:1] == "."):
            raise NoFormulaError(token)
        applied = self.applied() and token[0].isalpha()
        self.take()
        made = symbol(token)
        while self.peek() == "'" and self.touching[self.at]:
            self.take()
            made = f"<msup>{made}{PRIME}"
        if index := self.index():
            made = f"<msub>{made}{index}</msub>"
        return row(made, operator("\N{FUNCTION APPLICATION}"), self.bracketed()) if applied else made

    def bracketed(self) -> str:
        self.take("(")
        outside, self.open = self.open, 0
        parts = [self.relation()]
        while self.peek() in (",", ";", "||"):
            sign = self.take()
            parts += [operator("∥") if sign == "||" else operator(sign, separator="true"), self.relation()]
        self.take(")")
        self.open = outside
        return f"<mrow>{OPEN}{''.join(parts)}{CLOSE}</mrow>"

    def stroked(self) -> str:
        """An absolute value, a norm, or an absolute value that begins with one."""
        start = self.at
        if self.peek() == "||":
            try:
                self.take()
                inside = self.sum()
                self.take("||")
                made = f"<mrow>{operator('∥')}{inside}{operator('∥')}</mrow>"
                index = self.index()
                return f"<msub>{made}{index}</msub>" if index else made
            except NoFormulaError:
                self.at = start
                self.tokens[start : start + 1] = ["|", "|"]
                self.touching.insert(start + 1, True)
        self.take("|")
        self.open += 1
        inside = self.sum()
        self.open -= 1
        self.take("|")
        return f"<mrow>{operator('|')}{inside}{operator('|')}</mrow>"


def is_number(token: str) -> bool:
    """Whether a token is a number."""
    return token[0].isdigit() or (token[0] == "." and len(token) > 1)


def symbol(token: str) -> str:
    """A number or a name."""
    if found := re.fullmatch(r"(\d*\.?\d+)e(-?\d+)", token):
        ten = f"<msup><mn>10</mn><mn>{found[2].replace('-', '−')}</mn></msup>"
        return ten if found[1] == "1" else f"<mrow><mn>{found[1]}</mn><mo>·</mo>{ten}</mrow>"
    if is_number(token):
        return f"<mn>{'0' if token[0] == '.' else ''}{token}</mn>"
    if not token[0].isalpha() or is_prose(token):
        raise NoFormulaError(token)
    if token[-1].isdigit():
        stem = token.rstrip("0123456789")
        return f"<msub>{symbol(stem)}<mn>{token[len(stem) :]}</mn></msub>"
    return f"<mi>{GREEK.get(token, token)}</mi>"


def bare(made: str) -> str:
    """Without the brackets around all of it, which a stroke or a root makes needless."""
    start, end = f"<mrow>{OPEN}", f"{CLOSE}</mrow>"
    inside = made.removeprefix(start).removesuffix(end)
    whole = made.startswith(start) and made.endswith(end) and balanced(inside)
    return f"<mrow>{inside}</mrow>" if whole else made


def balanced(inside: str) -> bool:
    """Whether no bracket in it closes one before it."""
    depth = 0
    for sign in re.findall(r"<mo[^>]*>([()])</mo>", inside):
        depth += 1 if sign == "(" else -1
        if depth < 0:
            return False
    return depth == 0
