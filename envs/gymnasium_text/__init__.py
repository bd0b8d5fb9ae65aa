"""Any text environment with Gymnasium's `reset` and `step`, as an environment of ours: see
docs/adapting-an-environment.md."""

from envs.gymnasium_text.engine import Seen, TextEngine
from envs.gymnasium_text.spec import TextGame, TextSpec

__all__ = ["Seen", "TextEngine", "TextGame", "TextSpec"]
