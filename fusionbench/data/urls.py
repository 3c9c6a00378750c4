"""Addresses of files: what is sent to the server, and what may be shown."""

from __future__ import annotations

import base64
import re
import urllib.request
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit, urlunsplit

from fusionbench.errors import DataError
from fusionbench.runtime.addresses import shown_of as shown_of

_UNSURE = re.compile(r"(?s)^([^/?#]*//).*@")


@dataclass(frozen=True, kw_only=True)
class Address:
    """An address without its secrets, and these.

    Attributes:
        plain: without user name and password.
        user: ``name:password`` or "".
    """

    plain: str
    user: str

    @property
    def shown(self) -> str:
        """For messages: without user name, password and tokens."""
        return shown_of(self.plain)

    def request(self) -> urllib.request.Request:
        """A request; the password goes to this server and to none that it redirects to."""
        request = urllib.request.Request(
            self.plain, headers={"User-Agent": "fusionbench", "Accept-Encoding": "identity"}
        )
        if self.user:
            code = base64.b64encode(self.user.encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {code}")
        return request


def address_of(url: str) -> Address:
    """An http or https address.

    Raises:
        DataError: another one, or none.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that is no number
        user, _, host = parts.netloc.rpartition("@")
        url.encode("ascii")
    except ValueError as error:
        url = _UNSURE.sub(r"\1", url)  # a password with a slash in it
        why = "letters beyond ASCII; write them as %XX" if isinstance(error, UnicodeError) else "not an address"
        raise DataError(f"{shown_of(url)}: {why}") from None
    if parts.scheme.lower() not in ("http", "https") or not host:
        raise DataError(f"{shown_of(url)}: only http and https addresses are downloaded")
    return Address(plain=urlunsplit((parts.scheme, host, *parts[2:])), user=unquote(user))
