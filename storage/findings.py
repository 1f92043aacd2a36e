"""What a check finds: how bad it is, where, what is wrong, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How bad a finding is; the worst of all is the exit code of a check."""

    HARMLESS = 1
    """No record is lost: it is derived and can be made again, or was never acknowledged."""
    DAMAGE = 2
    """Records, or what else cannot be made again, are lost or were changed."""
    UNKNOWN = 3
    """It cannot be told: a newer klomp wrote this, or it cannot be read at all."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        severity: How bad it is.
        code: Stable name of the kind.
        path: The file or folder, from the data directory on.
        message: What is wrong, without the path.
        advice: What to do.
        stream: Its stream, "" where it belongs to none.
    """

    severity: Severity
    code: str
    path: str
    message: str
    advice: str
    stream: str = ""
