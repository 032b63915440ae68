"""Files that are whole or absent: written to a temporary name, then renamed."""

import os
import uuid
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8; a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        # a full disk is noticed while writing, when Python no longer says of which file
        error.filename = error.filename or str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
