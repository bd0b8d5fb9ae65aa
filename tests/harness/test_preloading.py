"""Workers start without imports: the fork server has imported what is run again in each of them."""

import subprocess
import sys

from harness.launch.processes import PRELOADED

MAINS = ("harness.sweep", "harness.launch.slurm.start", "harness.launch.local")
SCRIPT = """
import importlib, sys
for name in sys.argv[2].split():
    importlib.import_module(name)
before = set(sys.modules)
mains = sys.argv[1].split()
for main in mains:
    importlib.import_module(main)
print(*sorted(set(sys.modules) - before - set(mains)))
"""


def test_a_worker_imports_nothing_that_was_not_preloaded():
    command = [sys.executable, "-c", SCRIPT, " ".join(MAINS), " ".join(PRELOADED)]
    imported = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert imported == []
