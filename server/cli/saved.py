"""What the commands for saved documents share: their paths, what a file of one is sent as, and in whose name."""

from __future__ import annotations

import getpass
from urllib.parse import quote

CHANNELS, RULES, TEMPLATES = "/v1/channels", "/v1/rules", "/v1/templates"


def document_path(root: str, name: str) -> str:
    """The path of one document: names are typed by people, and may need quoting."""
    return f"{root}/{quote(name, safe='')}"


def content_type(*, as_json: bool) -> dict[str, str]:
    """The header that says how a document is written."""
    return {"Content-Type": "application/json" if as_json else "application/edn"}


def author() -> dict[str, str]:
    """The header that says who runs the command, where the system knows."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        return {}
    return {"X-Klomp-Author": name} if name.isascii() and name.isprintable() else {}
