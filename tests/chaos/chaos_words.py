"""Whether what jobs print is something that a user can act on."""

import re
from collections import Counter

from chaos_jobs import Ended

_NEXT_STEP = re.compile(
    r"\b(run|delete|free|wait|try|make|give|put|update|move|mend|name|allow|restore|build|"
    r"goes on|goes\b|does so)\b",
    re.IGNORECASE,
)
_NAMES = re.compile(r"/[\w.{}-]+|\.duckdb|\.parquet|\.json|another process|another run|interrupted")
_PROGRESS = re.compile(r"^(training: \d+/\d+ models.*|note: .*)$")


class Words:
    """All that was printed. faults: lines that a user could not act on, with what is wrong."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.faults: list[str] = []

    def hear(self, ended: Ended) -> None:
        """Check a job's standard error: silent when it succeeds or is killed, else one line."""
        lines = [line for line in ended.err.splitlines() if not _PROGRESS.match(line)]
        if "Traceback" in ended.err:
            self.faults.append(f"{ended.name}: a traceback: {ended.err.strip()[-800:]}")
            return
        for line in lines:
            self.seen[template(line)] += 1
        if ended.code == 0 or ended.code < 0:
            if lines:
                self.faults.append(f"{ended.name} (status {ended.code}) said: {lines[0][:300]}")
        elif ended.name == "command" and ended.code == 1 and not lines:
            self._hear_doctor(ended)
        elif ended.code in (130, 143) and self._is_quiet(ended, lines):
            pass
        elif len(lines) != 1 or not lines[0].startswith("error: "):
            self.faults.append(f"{ended.name} (status {ended.code}): not one line: {lines[:3]}")
        elif not _NAMES.search(lines[0]):
            self.faults.append(f"{ended.name}: names nothing: {lines[0][:300]}")
        elif not _NEXT_STEP.search(lines[0]):
            self.faults.append(f"{ended.name}: says no next step: {lines[0][:300]}")

    @staticmethod
    def _is_quiet(ended: Ended, lines: list[str]) -> bool:
        """Tell whether an interrupted job says what it may: a command nothing, for it was asked."""
        if ended.code == 143:
            return len(lines) == 1 and lines[0].startswith("stopped by SIGTERM")
        return lines == ["interrupted; finished models are kept"] or (
            ended.name == "command" and not lines
        )

    def _hear_doctor(self, ended: Ended) -> None:
        for line in ended.out.splitlines():
            self.seen[template(line)] += 1
            known = line.startswith(("fault: ", "  repair: ", "mended: "))
            if not known or (line.startswith("  repair: ") and len(line) < 20):
                self.faults.append(f"doctor: not a fault or its repair: {line[:300]}")


def template(line: str) -> str:
    """Return a line without what differs from run to run: folders, hashes, numbers."""
    line = re.sub(r"(/[\w.@+-]+)+/", ".../", line)
    line = re.sub(r"\b[0-9a-f]{12,64}\b", "HASH", line)
    return re.sub(r"\d+", "N", line)[:220]
