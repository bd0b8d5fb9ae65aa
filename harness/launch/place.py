"""Where a sweep writes to: a folder that may be moved while the sweep runs."""

from pathlib import Path

from harness.errors import UserError


class Place:
    """A folder as it was when this was made, whatever has its name later."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._identity = identity(out)

    def check(self) -> None:
        """Raise `UserError` if another folder has the name now, or none."""
        try:
            same = identity(self.out) == self._identity
        except FileNotFoundError:
            same = False
        except OSError:
            return  # the file server may come back
        if not same:
            raise UserError(
                f"sweep.out={self.out} was moved or removed while the sweep ran, so nothing more is written "
                "there: give the same command with sweep.out set to where it is now"
            )


def identity(folder: Path) -> tuple[int, int]:
    """What a folder keeps when it is renamed; raises FileNotFoundError."""
    found = folder.stat()
    return found.st_dev, found.st_ino
