"""The name that a caller may have meant: `betwen` for `between`."""

from collections.abc import Iterable
from difflib import get_close_matches

NAME_CHARACTERS_MAX = 60  # of a name for which a near one is sought: seeking costs the square of it


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The nearest of some names, or None where none is near."""
    if len(name) > NAME_CHARACTERS_MAX:
        return None
    return next(iter(get_close_matches(name, list(names), n=1)), None)


def meant(name: str, names: Iterable[str], prefix: str = "") -> str | None:
    """A hint with the nearest of some names, `did you mean :between?`; None where none is near."""
    found = nearest(name, names)
    return None if found is None else f"did you mean {prefix}{found}?"
