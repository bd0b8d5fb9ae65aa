"""Content-addressed run directories: atomic writes, leases, completeness."""

from harness.store.files import append_line, read_json, write_atomically, write_json
from harness.store.run_dir import Rewound, RunDir, cell_id

__all__ = [
    "Rewound",
    "RunDir",
    "append_line",
    "cell_id",
    "read_json",
    "write_atomically",
    "write_json",
]
