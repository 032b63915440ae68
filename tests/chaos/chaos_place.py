"""The disk that faults happen on: small, and full or read-only when asked.

A tmpfs where this process may mount one. Elsewhere a plain folder: a full disk is then a limit
on the size of files, and read-only a folder without the right to write, which does not stop
root; what cannot be had is said and never counted.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Place:
    """A disk of ``size`` bytes at ``folder``. mounted: whether it is a file system of its own."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.mounted = self._mount(f"size={size}")
        self.can_be_read_only = self.mounted or os.geteuid() != 0

    def close(self) -> None:
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def free(self) -> int:
        return shutil.disk_usage(self.folder).free

    @contextmanager
    def full(self, left: int) -> Iterator[None]:
        """Leave so many bytes free, on a disk of its own."""
        assert self.mounted
        ballast = self.folder / "ballast"
        with ballast.open("wb") as stream:
            taken = self.free - left
            if taken > 0:
                os.posix_fallocate(stream.fileno(), 0, taken)
        try:
            yield
        finally:
            ballast.unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        if self.mounted:
            self._remount("ro")
        else:
            self._permit(0o555)
        try:
            yield
        finally:
            if self.mounted:
                self._remount("rw")
            else:
                self._permit(0o755)

    def _permit(self, mode: int) -> None:
        for folder in [self.folder, *(p for p in self.folder.rglob("*") if p.is_dir())]:
            folder.chmod(mode)

    def _mount(self, options: str) -> bool:
        if os.geteuid() != 0 or shutil.which("mount") is None:
            return False
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "chaos", str(self.folder)],
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    def _remount(self, mode: str) -> None:
        subprocess.run(
            ["mount", "-o", f"remount,{mode}", str(self.folder)], check=True, capture_output=True
        )


def die_with_parent() -> None:
    """Have the system end this process when the one that started it ends."""
    ctypes.CDLL(None).prctl(1, 15)
