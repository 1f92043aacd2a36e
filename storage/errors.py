"""What can go wrong in the store, each with a code, a message and a way out."""

from __future__ import annotations

import errno


class StoreError(Exception):
    """A failure the caller can act on.

    Attributes:
        code: Stable name of the mistake, such as `unknown-stream`.
        message: What is wrong, lower-case and concise.
        hint: The way out, or "" where there is none.
    """

    code = "store-error"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadStreamName(StoreError):
    """A stream's name has characters or a length that a folder name should not have."""

    code = "bad-stream-name"


class UnknownStream(StoreError):
    """No stream has this name."""

    code = "unknown-stream"


class BadSettings(StoreError):
    """The settings of a stream have mistakes: the first, and the `others`.

    Attributes:
        path: Where it is: `("retention", "age")`; of the settings as a whole none.
        is_key: Whether that is a key which there should not be, rather than a value.
    """

    code = "bad-settings"

    def __init__(
        self, message: str, hint: str = "", path: tuple[str, ...] = (), *, is_key: bool = False
    ) -> None:
        super().__init__(message, hint)
        self.path = path
        self.is_key = is_key
        self.others: tuple[BadSettings, ...] = ()

    @classmethod
    def of(cls, mistakes: list[BadSettings]) -> BadSettings:
        """All of several mistakes as one."""
        first, *rest = mistakes
        first.others = tuple(rest)
        return first


class TooManyStreams(StoreError):
    """One more stream would pass the bound on streams."""

    code = "too-many-streams"


class BadRecord(StoreError):
    """One record cannot be kept; the others of its batch can."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.code = code


class StoreLocked(StoreError):
    """Another process holds this data directory."""

    code = "store-locked"


class FormatUnknown(StoreError):
    """A file carries a version this program does not know."""

    code = "format-unknown"


class FrameDamaged(StoreError):
    """A frame's bytes do not match its checksum."""

    code = "frame-damaged"


class MetadataUnwritable(StoreError):
    """What is set cannot be written: the disk is full, or refuses."""

    code = "metadata-unwritable"


class BadDocumentName(StoreError):
    """A document's name has characters or a length that a path should not have."""

    code = "bad-name"


class VersionConflict(StoreError):
    """A document has another version than whoever changes it knew: nothing has changed."""

    code = "version-conflict"


class TooManyDocuments(StoreError):
    """One more document would pass the bound on documents of a kind."""

    code = "too-many-documents"


class LogUnwritable(StoreError):
    """The disk refused bytes: nothing of the batch was kept.

    Attributes:
        out_of_space: True for ENOSPC and EDQUOT, where room must be made.
    """

    code = "log-unwritable"

    def __init__(self, message: str, hint: str = "", *, out_of_space: bool = False) -> None:
        super().__init__(message, hint)
        self.out_of_space = out_of_space


def unwritable(error: OSError) -> LogUnwritable:
    """What the disk's refusal means to a sender."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    hint = (
        "make room on the disk; writing resumes by itself"
        if full
        else "look at the disk and the server's log"
    )
    return LogUnwritable(f"the disk refused the batch: {error.strerror}", hint, out_of_space=full)


class DiskNearlyFull(StoreError):
    """The disk has less room than must stay free; nothing of the batch was kept."""

    code = "disk-nearly-full"


class LogClosed(StoreError):
    """The log has been closed; nothing of the batch was kept."""

    code = "log-closed"


class KeyReused(StoreError):
    """An idempotency key came with another batch than the first time."""

    code = "idempotency-key-reused"


class IndexBusy(StoreError):
    """The index changed under every try to open it."""

    code = "index-busy"


class ResultTooLarge(StoreError):
    """An aggregation would make more groups than the index can hold."""

    code = "too-many-groups"


class QueryTimeout(StoreError):
    """A query took longer than it may."""

    code = "query-timeout"


class QueryAbandoned(StoreError):
    """Whoever asked waits no longer."""

    code = "client-gone"


class IndexPanic(StoreError):
    """The index engine panicked on one query; the process goes on."""

    code = "index-panic"
