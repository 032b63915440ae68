"""What the page carries within itself: data to download, and scripts, packed where they are large.

A reader without JavaScript gets a large table as ``.csv.gz``, which data frames and databases read
as they read CSV; the page's script unpacks it.
"""

import base64
import gzip
from typing import Final
from urllib.parse import quote

PACKED_FROM: Final = 12_000
"""Characters of a table from which it is packed: numbers shrink to about half."""


def data_uri(text: str) -> str:
    """Return a CSV text as a data URI, packed where it is large."""
    if len(text) < PACKED_FROM:
        return "data:text/csv;charset=utf-8," + quote(text, safe=",.-_")
    return "data:application/gzip;base64," + packed(text)


def packed(text: str) -> str:
    """Return a text's UTF-8 by gzip in base64; the same text gives the same letters."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode() if text else ""
