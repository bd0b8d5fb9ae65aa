"""Where things are kept that were made on this machine and can be made again."""

import os
from pathlib import Path


def cache_folder(name: str) -> Path:
    """The folder of one kind of things, under `CREDITBENCH_CACHE` (unset: `~/.cache/creditbench`)."""
    return Path(os.environ.get("CREDITBENCH_CACHE") or "~/.cache/creditbench").expanduser() / name
