"""What `python -m harness.doctor` looks at. A check gives findings, one per line, each with how to fix it."""

from harness.checkup.finding import Finding, Verdict, fail, ok, warn

__all__ = ["Finding", "Verdict", "fail", "ok", "warn"]
