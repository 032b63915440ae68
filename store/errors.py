"""Errors that a user can act on: shown as one line, never as a traceback."""

import errno
from typing import Final


class UserError(Exception):
    """What was asked for cannot be done; the message names what and what to do."""


class StudyError(UserError):
    """The study file is wrong; the message names file, key, value and what is allowed."""


class DataError(UserError):
    """The images cannot be read as the study declares them."""


class StaleShardError(UserError):
    """A shard does not belong to the study as it is declared now."""


class StoreError(UserError):
    """The store is missing, damaged, or of another schema version."""


class AnalysisError(UserError):
    """The replicates do not allow the analysis asked for."""


STOPPING: Final = (UserError, OSError, MemoryError, KeyboardInterrupt)
"""What may end a command that is itself in order; ``explained`` says it in one line."""

_REMEDIES: Final = {
    errno.ENOSPC: "Free some space on that disk",
    errno.EDQUOT: "Free some space within your quota",
    errno.EFBIG: "Allow larger files (ulimit -f)",
    errno.EROFS: "Make that place writable",
    errno.EACCES: "Give yourself the right to that place",
    errno.EPERM: "Give yourself the right to that place",
    errno.EMFILE: "Allow more open files (ulimit -n)",
    errno.ENOENT: "Put it in its place",
    errno.ESTALE: "Mount that shared folder again",
    errno.EIO: "See why that disk or shared folder does not answer",
    errno.ENOTCONN: "Mount that shared folder again",
    errno.ETIMEDOUT: "See why that shared folder does not answer",
    errno.EHOSTDOWN: "See why that shared folder does not answer",
}


def explained(error: BaseException) -> str:
    """Say in one line what stopped a command and what to do; for errors of STOPPING."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; what is finished is kept, and the same command goes on from there"
    if isinstance(error, MemoryError):
        return "not enough memory; free some, then run the same command again"
    if isinstance(error, OSError):
        named = f"{error.filename}: " if error.filename else ""
        remedy = _REMEDIES.get(error.errno or 0, "Mend that")
        return one_line(f"{named}{error.strerror or error}. {remedy}, then run the same again.")
    return one_line(str(error))


def advice(refusal: str) -> str:
    """Return what to do about a refusal of the database or of a file format, in words."""
    known = (
        (errno.ENOSPC, ("No space left", "os error 28")),
        (errno.EFBIG, ("File too large", "os error 27")),
        (errno.EROFS, ("Read-only file system", "read-only mode", "os error 30")),
        (errno.EACCES, ("Permission denied", "os error 13")),
        (errno.EDQUOT, ("Disk quota exceeded", "os error 122")),
        (errno.ESTALE, ("Stale file handle", "os error 116")),
        (errno.EIO, ("Input/output error", "os error 5)")),
    )
    for number, words in known:
        if any(word in refusal for word in words):
            return f"{_REMEDIES[number]}, then run the same again."
    return "Run python -m store doctor on it; snakemake makes a store anew that is moved away."


def one_line(text: str) -> str:
    """Return text on one line; control characters, which a terminal would obey, are spelled out."""
    plain = " ".join(text.split())
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in plain)
