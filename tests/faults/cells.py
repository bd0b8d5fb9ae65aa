"""Cells of a third of a second, attempts at them, and what must be the same bytes whatever happened."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.compose import compose_run
from harness.config.plain import to_plain
from harness.launch import DONE
from harness.store import RunDir
from harness.store.checksums import Damaged
from harness.store.files import parse_line
from tests.faults.watch import Fault, operations
from tests.harness.policy.folders import save_model

ROOT = Path(__file__).parents[2]
SMALL = [
    "seed=3",  # every iteration has gradients: test_the_cells_learn
    "batch.trajectories=16",
    "batch.minibatches=1",
    "model.layers=1",
    "model.width=16",
    "model.heads=2",
    "model.clone_steps=40",
    "model.clone_updates=20",
    "model.clone_lr=0.03",
    "env.rooms=2",
    "env.key=false",
    "env.horizon=2",
    "env.train_tasks=2",
    "env.eval_tasks=1",
    "evaluation.points=2",
    "evaluation.window=2",
    "evaluation.episodes=1",
    "evaluation.record=1",
    "budget.axis=trajectories",
    "budget.limit=18",  # two iterations; the last one goes beyond the limit by more than a point
]
LAGGED = [
    "algorithm=appo",
    "algorithm.gain=lagged",
    "batch.trajectories=32",
    "batch.minibatches=2",
    "budget.limit=36",
]
ADAPTED = [
    *("algorithm=ppo", "model=pretrained", "model.precision=fp32", "model.device=cpu", "env.history=2"),
    *("model.lora_rank=2", "model.lora_targets=[q_proj,down_proj]", "model.checkpointing=true"),
    *("model.lr=0.03", "model.critic_lr=0.03", "model.schedule=cosine", "model.max_action_tokens=3"),
    # Random weights solve nothing: they learn by the entropy bonus.
    *("algorithm.entropy_coef=0.1", "model.example=false", "batch.trajectories=4", "budget.limit=6"),
]
CELLS = {
    "critic": ["algorithm=ppo", "model.schedule=linear"],
    "reference": ["algorithm=g2po"],
    "branches": ["algorithm=appo"],
    "previous": LAGGED,
    "overlap": ["algorithm=ppo", "rollout.overlap=true", "model.schedule=linear"],
    "head": ["algorithm=ppo", "model.critic=head", "model.schedule=cosine"],
    "adapters": ADAPTED,
    "current": ["algorithm=appo_future", "batch.trajectories=32", "batch.minibatches=2", "budget.limit=36"],
    "two ranks": ["algorithm=ppo", "model.gpus=2", "model.schedule=linear"],
}
"""By what a run has beside its policy: a critic and a schedule, a reference policy, branches, the previous
policy, a thread that plays with a policy of its own, a critic that is a head in the policy's optimiser, a
pretrained model whose adapters are trained under checkpointing, with a critic of its own; branches that the
policy of the moment chooses; weights and moments dealt out over two processes."""
ONE_AT_A_TIME = threading.Lock()
"""Hydra composes, and torch seeds, one thing at a time."""
FROM_SCRATCH = ("model.layers", "model.width", "model.heads")
"""Options that a pretrained model has not got."""


def cell(name: str, models: Path | None = None) -> dict[str, Any]:
    """The plain configuration of one of `CELLS`; a pretrained model is made in `models`."""
    overrides = [*SMALL, *CELLS[name]]
    with ONE_AT_A_TIME:
        if "model=pretrained" in overrides:
            assert models, "a place for the model"
            overrides = [each for each in overrides if not each.startswith((*FROM_SCRATCH, "model.clone"))]
            overrides.append(f"model.source={save_model(models / 'llama', 'llama')}")
        return to_plain(compose_run(overrides))


def run_folder(folder: Path) -> Path:
    """The directory of the only cell in a sweep's."""
    (run,) = (folder / "runs").iterdir()
    return run


def outcome(folder: Path) -> dict[str, Any]:
    """All that a finished cell leaves that is a function of its configuration, by name.

    Metrics, result, recorded episodes; and of the last two checkpoints the weights, the optimisers' moments
    and the rest of the state, but for seconds and what depends on them.
    """
    run = run_folder(folder)
    files = [run / "config.json", run / "metrics.jsonl", run / "result.json", *run.glob("trajectories/*")]
    files += [*folder.glob("warmstarts/*/model.safetensors"), *folder.glob("warmstarts/*/cost.json")]
    states = [*run.glob("checkpoints/[0-9]*/state.json")]
    files += [path for state in states for path in state.parent.glob("*.safetensors")]
    found: dict[str, Any] = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    for path in states:
        state = json.loads(path.read_bytes())
        for part in (state["sizes"], state["sha256"]):
            del part["timing.jsonl"]
        del state["seconds"], state["checksum"]
        found[str(path.relative_to(folder))] = state
    return found


def standing(folder: Path) -> str:
    """A digest of all that an attempt may go on from, but for seconds and process ids."""
    found: list[object] = []
    for path in sorted(folder.rglob("*")):
        name = re.sub(r"\.\d+\.tmp", ".tmp", str(path.relative_to(folder)))
        content = path.read_bytes() if path.is_file() else b""
        if path.name in ("timing.jsonl", "attempts.jsonl"):
            found.append((name, [parse_line(line) is None for line in content.splitlines(keepends=True)]))
        elif path.name in ("failure.json", "log.txt") or "lease." in path.name:
            found.append(name)
        elif "state.json" in path.name:
            found.append((name, SECONDS.sub(b"", content)))
        else:
            found.append((name, content))
    for run in folder.glob("runs/*"):
        run_dir = RunDir(run)
        found += [damage_of(run_dir, checkpoint) for checkpoint in run_dir.complete_checkpoints()]
    return hashlib.sha256(repr(found).encode()).hexdigest()


SECONDS = re.compile(rb'"(checksum|seconds|timing\.jsonl)": ("[0-9a-f]*"|[-+\d.e]+)')
"""What differs from run to run in a checkpoint's state."""


def damage_of(run_dir: RunDir, checkpoint: Path) -> str:
    """What a checkpoint suffers from; nothing if it is intact."""
    try:
        run_dir.check(checkpoint)
    except Damaged as damage:
        return str(damage)
    return ""


class Zygote:
    """A process that has imported everything, and forks attempts at cells."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def attempt(
        self,
        config: dict[str, Any],
        folder: Path,
        trace: Path,
        fault: Fault | None = None,
        kill_after: float | None = None,
    ) -> int:
        """The exit code of an attempt at the cell in `folder`; negative: the signal that ended it.

        Its operations are appended to `trace`; what it prints outside its log goes to a file beside that.
        """
        request = {
            "config": config,
            "folder": str(folder),
            "trace": str(trace),
            "fault": asdict(fault) if fault else None,
            "kill_after": kill_after,
        }
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


class Subject:
    """A cell, what it does in a calm run, and what that leaves."""

    def __init__(self, name: str, zygote: Zygote, scratch: Path) -> None:
        scratch.mkdir()
        self.config, self.zygote, self.scratch = cell(name, scratch / "models"), zygote, scratch
        calm = self.new_folder("calm")
        assert self.attempt(calm) == DONE
        self.operations = operations(self.trace(calm))
        self.outcome = outcome(calm)
        self.passed: dict[str, int] = {}
        """What attempts went on from to end like the calm run, and from which iteration."""

    def new_folder(self, name: str) -> Path:
        """An empty sweep's directory."""
        folder = self.scratch / name
        folder.mkdir()
        return folder

    def trace(self, folder: Path) -> Path:
        """Where the operations on a folder are."""
        return self.scratch / f"{folder.name}.trace"

    def attempt(self, folder: Path, fault: Fault | None = None, kill_after: float | None = None) -> int:
        """See `Zygote.attempt`."""
        return self.zygote.attempt(self.config, folder, self.trace(folder), fault, kill_after)

    def check(self, folder: Path) -> int:
        """Attempt the cell in `folder` once more, in peace: it must end like the calm run, to the byte.

        Returns the iteration that it went on from. What another attempt went on from is not tried again.
        """
        before = standing(folder)
        if before not in self.passed:
            self.check_anew(folder)
            attempts = (run_folder(folder) / "attempts.jsonl").read_text().splitlines()
            self.passed[before] = int(json.loads(attempts[-1])["iteration"])
        return self.passed[before]

    def check_anew(self, folder: Path) -> None:
        """The same, whatever was tried before."""
        code = self.attempt(folder)
        assert code == DONE, f"exit code {code}: {self.why(folder)}"
        found = outcome(folder)
        differing = [
            name for name in self.outcome.keys() | found.keys() if self.outcome.get(name) != found.get(name)
        ]
        assert not differing, f"not the bytes of the calm run: {', '.join(sorted(differing))}"

    def why(self, folder: Path) -> str:
        """What a failed attempt says: the reason in failure.json, or where there is none, what it printed."""
        for failure in folder.glob("runs/*/failure.json"):
            return str(json.loads(failure.read_text())["reason"])
        return self.trace(folder).with_suffix(".stderr").read_text()
