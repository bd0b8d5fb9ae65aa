"""The watch sees what the kernel sees: strace is the judge."""

import json
import re
import subprocess
import sys

import pytest

from tests.conftest import need
from tests.faults.cells import ROOT, cell
from tests.faults.watch import operations

CALLS = (
    "creat,open,openat,write,writev,pwrite64,pwritev,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,"
    "mkdir,mkdirat,rmdir,truncate,ftruncate,fallocate,link,linkat,symlink,symlinkat,sendfile,copy_file_range"
)
KINDS = {"openat": "open", "fdatasync": "fsync", "unlinkat": "unlink", "ftruncate": "truncate"}


def seen_by_the_kernel(log: str, folder: str) -> list[tuple[str, str]]:
    """Kind and path of each call that strace -y wrote down and that changes something under `folder`."""
    found = []
    for line in log.splitlines():
        called = re.match(r"\d+\s+(\w+)\((.*)", line)
        if called is None:
            continue
        name, arguments = called.groups()
        if name.startswith("open") and not re.search("O_WRONLY|O_RDWR", arguments):
            continue
        if name == "unlinkat":  # of a name in an open folder
            name = "rmdir" if "AT_REMOVEDIR" in arguments else "unlink"
            arguments = re.sub(r'^\d+<(.*?)>, "', r'"\1/', arguments)
        path = re.match(r'(?:\d+<|AT_FDCWD(?:<.*?>)?, "|")(.*?)["><]', arguments)
        if path is not None and (path[1] + "/").startswith(folder + "/"):
            found.append((KINDS.get(name, name), path[1][len(folder) + 1 :]))
    return found


@pytest.mark.slow
def test_no_operation_goes_unseen(tmp_path):
    need("strace")
    folder, trace, log = tmp_path / "sweep", tmp_path / "trace", tmp_path / "strace"
    folder.mkdir()
    request = {
        "config": cell("critic"),
        "folder": str(folder),
        "trace": str(trace),
        "fault": None,
        "kill_after": None,
    }
    command = ["strace", "-f", "-y", "-s", "0", "-e", f"trace={CALLS}", "-o", str(log)]
    command += [sys.executable, "-m", "tests.faults.zygote"]
    done = subprocess.run(command, input=json.dumps(request) + "\n", text=True, capture_output=True, cwd=ROOT)
    if "PTRACE" in done.stderr:
        pytest.skip("this process may not trace others")
    assert done.stdout.split() == ["0"], done.stderr
    seen = [(each.kind, each.path) for each in operations(trace) if each.kind != "read"]
    assert len(seen) > 200
    assert seen_by_the_kernel(log.read_text(), str(folder)) == seen
