"""The other ranks as the first one has them: processes that it starts and watches, and that end with it."""

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import distributed

from harness.config import RunConfig
from harness.config.plain import to_plain
from harness.policy.precision import Placement
from harness.ranks import ALONE, Ranks, join
from harness.store import RunDir

GRACE_SECONDS = 60.0
"""How long this process may take to notice by itself that a peer ended, before it is ended too."""
NOTICE_SECONDS = 30.0
"""After a failure, how long to wait at most for the word of a peer that may be its cause: on a busy machine
the connection to it may break well before that."""
END_SECONDS = 60.0
"""How long peers may take to end after the run."""
KEPT_FROM_PEERS = (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT)
"""Signals that schedulers and terminals send to all processes: when to stop is for the first rank to say."""


class PeerFailed(RuntimeError):
    """Another rank of the run ended before its end."""


@contextlib.contextmanager
def ranks_of(
    config: RunConfig, run_dir: RunDir, out: Path, failed: Callable[[str], object]
) -> Iterator[Ranks]:
    """This process as the first rank of its run, the others being started and joined.

    Raises `PeerFailed` with a peer's reason if that is why the block failed. `failed` is called with that
    reason, in another thread, if this process hangs when a peer has ended; it has to end the process.
    """
    size = config.model.gpus
    if size == 1:
        yield ALONE
        return
    ranks, device = Ranks(0, size), Placement.of(config.model).device
    with tempfile.TemporaryDirectory() as folder, run_dir.log.open("a") as log:
        meeting = Path(folder) / "meeting"
        task = {
            "config": to_plain(config),
            "run_dir": str(run_dir.path),
            "out": str(out),
            "meeting": str(meeting),
        }
        peers = Peers([{**task, "rank": rank} for rank in range(1, size)], log, failed)
        try:
            join(ranks, meeting, device)
            yield ranks
            peers.await_end(END_SECONDS)
        except Exception as error:
            peers.await_end(NOTICE_SECONDS)
            if peers.reason:
                raise PeerFailed(peers.reason) from error
            raise
        finally:
            peers.end()
            if distributed.is_initialized():
                distributed.destroy_process_group()


class Peers:
    """Processes of `python -m harness.launch.peer`."""

    def __init__(self, tasks: Sequence[dict[str, Any]], log: Any, failed: Callable[[str], object]) -> None:
        """`log`: the file that takes what they print."""
        self.reason = ""
        """Why the first one failed that did."""
        self._failed = failed
        self._over = threading.Event()
        self._news = threading.Condition()
        self._ended = 0
        """Peers that have ended, and whose reason is known if they failed."""
        self._processes = []
        command = [sys.executable, "-m", "harness.launch.peer"]
        pipe = subprocess.PIPE
        before = signal.pthread_sigmask(signal.SIG_BLOCK, KEPT_FROM_PEERS)  # is inherited
        try:
            for _ in tasks:
                self._processes.append(
                    subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True)
                )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._watches = []
        for task, process in zip(tasks, self._processes, strict=True):
            watch = threading.Thread(target=self._watch, args=(task["rank"], process), daemon=True)
            watch.start()
            self._watches.append(watch)
            with contextlib.suppress(BrokenPipeError):  # its watch has the reason
                print(json.dumps(task), file=process.stdin, flush=True)

    def _watch(self, rank: int, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        word = process.stdout.read().strip().rpartition("\n")[2]
        code = process.wait()
        failed = code != 0 and not self._over.is_set()
        if not word:
            word = f"killed by signal {-code}" if code < 0 else f"ended with code {code}"
        with self._news:
            if failed:
                self.reason = self.reason or f"rank {rank}: {word}"
            self._ended += 1
            self._news.notify_all()
        if failed and not self._over.wait(GRACE_SECONDS):
            self._failed(f"{PeerFailed.__name__}: {self.reason}")

    def await_end(self, seconds: float) -> None:
        """Wait until all have ended, or one failed and its reason is known; at most `seconds`."""
        with self._news:
            self._news.wait_for(lambda: self.reason or self._ended == len(self._processes), seconds)

    def end(self) -> None:
        """End those that are left."""
        self._over.set()
        for process, watch in zip(self._processes, self._watches, strict=True):
            process.kill()
            process.wait()
            watch.join()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
