"""Secrets of channels: what is shown in their place, how they are kept when that comes back, how texts lose them.

A secret is write-only. `https://user:password@hooks.example.com/T0/B1/key` is shown as
`https://***@hooks.example.com/***`; a channel that is sent back with that keeps what it had.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote, urlsplit

MASK = "***"
SECRET_CHARACTERS_LEAST = 4  # a shorter piece of a URL is a word that texts need, such as `api` or a port
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_DELIMITERS = re.compile(r"[/?&=:@#,;]+")
_WORDS = re.compile(r"[A-Za-z]{1,20}")


def mask_url(url: str) -> str:
    """A URL with its scheme and host, and the mask for what may be secret: userinfo, path, query, fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    userinfo = f"{MASK}@" if "@" in parts.netloc else ""
    rest = f"/{MASK}" if parts.path.strip("/") or parts.query or parts.fragment else ""
    return f"{parts.scheme}://{userinfo}{host}{rest}"


def mask_path_kept(url: str) -> str:
    """A URL whose path is no secret: the mask stands for userinfo and query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    userinfo = f"{MASK}@" if "@" in parts.netloc else ""
    return f"{parts.scheme}://{userinfo}{host}{parts.path}" + (f"?{MASK}" if parts.query else "")


def mask_all_but_scheme(url: str) -> str:
    """A URL of which anything may be secret: `slack://***`."""
    match = _SCHEME.match(url)
    return f"{match[1]}://{MASK}" if match else MASK


def pieces(url: str) -> set[str]:
    """The parts of a URL that must not be told: all but its scheme, its host and single words of letters."""
    scheme, _, rest = url.partition("://")
    host = urlsplit(url).hostname or ""
    found: set[str] = set()
    for piece in (rest, *_DELIMITERS.split(rest)):
        for form in (piece, unquote(piece), quote(unquote(piece), safe="")):
            if len(form) >= SECRET_CHARACTERS_LEAST and form.lower() not in (host.lower(), scheme.lower()):
                found.add(form)
    userinfo = set(_DELIMITERS.split(urlsplit(url).netloc.rpartition("@")[0]))
    return {one for one in found if one in userinfo or not _WORDS.fullmatch(one)}


def redact(text: str, secrets: Iterable[str]) -> str:
    """A text without the secrets, the longest first: one may be part of another."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        if secret:
            text = text.replace(secret, MASK)
    return text
