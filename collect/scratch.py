"""Where models of an unfinished block are kept: with the results, or on a disk of the machine."""

import hashlib
import os
import re
from pathlib import Path

from store.errors import UserError


def scratch_folder(results: Path, study: str) -> Path:
    """Return the folder for a study's unfinished blocks on this machine.

    KD_SCRATCH names another place than the results; variables in it, such as $TMPDIR, are those
    of this job. Raises UserError where one of them is not set, or the place is relative.
    """
    declared = os.environ.get("KD_SCRATCH")
    if not declared:
        return results / "scratch"
    place = os.path.expandvars(declared)
    unset = re.search(r"\$\{?\w+\}?", place)
    if unset:
        raise UserError(
            f"scratch: {declared}: {unset[0]} is not set in this job; name a folder that the "
            "machine has, or leave scratch out"
        )
    if not Path(place).is_absolute():
        raise UserError(f"scratch: {declared}: not an absolute path; jobs run in other folders")
    # two studies of one name may be at work on one machine
    own = hashlib.sha256(os.fsencode(results.resolve())).hexdigest()[:8]
    return Path(place) / f"{study}-{own}"
