"""What a check found."""

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """How bad it is."""

    ok = "ok"
    warn = "warn"
    fail = "FAIL"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's."""

    verdict: Verdict
    subject: str
    text: str
    """What was found and, if it is not well, how to fix it."""

    def __str__(self) -> str:
        return f"{self.verdict.value:4}  {self.subject:11}  {' '.join(self.text.split())}"


def ok(subject: str, text: str) -> Finding:
    """Nothing to do."""
    return Finding(Verdict.ok, subject, text)


def warn(subject: str, text: str) -> Finding:
    """It will run, but not as well as it could."""
    return Finding(Verdict.warn, subject, text)


def fail(subject: str, text: str) -> Finding:
    """It won't run."""
    return Finding(Verdict.fail, subject, text)
