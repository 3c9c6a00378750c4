"""What of an address may be shown."""

from __future__ import annotations

import re

from fusionbench.runtime.files import printable

_SECRET = re.compile(r"(?i)([?&;#][^=&;#]*(?:token|key|sig|secret|pass|auth|credential)[^=&;#]*=)[^&;#]*")
_USER = re.compile(r"^([^/?#]*//)[^/?#]*@")


def shown_of(url: str) -> str:
    """Any text that stands for an address, without user name, password and tokens."""
    url = _USER.sub(r"\1", url)
    return printable(_SECRET.sub(r"\1***", url if len(url) <= 300 else url[:300] + "..."))
