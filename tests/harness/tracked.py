"""What trackers hold, by their own readers: for each run, the values of each iteration."""

import json
import sqlite3
from collections import defaultdict
from pathlib import Path

Held = dict[int, dict[str, float]]
AXES = ("flops", "tokens", "env_steps", "trajectories", "gpu_seconds")


def read_tensorboard(folder: Path, cell: str, run_id: str) -> Held:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / cell), size_guidance={"scalars": 0}).Reload()
    return collected(
        (tag, event.step, event.value) for tag in events.Tags()["scalars"] for event in events.Scalars(tag)
    )


def read_wandb(folder: Path, cell: str, run_id: str) -> Held:
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = (folder / cell / "wandb").glob(f"offline-run-*/run-{run_id}.wandb")
    values = []
    for content in log_records(path.read_bytes()):
        history = Record.FromString(content).history.item
        items = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in history}
        values += [(name, items["_step"], items[name]) for name in items if not name.startswith("_")]
    return collected(values)


def log_records(content: bytes) -> list[bytes]:
    """The records of a LevelDB log with W&B's header of 7 bytes; wandb has no reader in Python any more."""
    records, at, part = [], 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        part += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            records.append(part)
            part = b""
    return records


def read_mlflow(folder: Path, cell: str, run_id: str) -> Held:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiments = [each.experiment_id for each in client.search_experiments()]
    (run,) = client.search_runs(experiments, f"tags.`creditbench.run_id` = '{run_id}'")
    names = [name for name in run.data.metrics if name != "iteration"]
    return collected(
        (name, metric.step, metric.value)
        for name in names
        for metric in client.get_metric_history(run.info.run_id, name)
    )


def read_trackio(folder: Path, cell: str, run_id: str) -> Held:
    with sqlite3.connect(folder / "creditbench.db") as connection:
        rows = connection.execute("SELECT step, metrics FROM metrics WHERE run_name = ?", [run_id]).fetchall()
    return collected((name, step, value) for step, text in rows for name, value in json.loads(text).items())


READERS = {
    "tensorboard": read_tensorboard,
    "wandb": read_wandb,
    "mlflow": read_mlflow,
    "trackio": read_trackio,
}


def collected(values) -> Held:
    """By iteration and name; a value that is held twice is an error."""
    held: Held = defaultdict(dict)
    for name, iteration, value in values:
        assert name not in held[iteration], f"{name} twice in iteration {iteration}"
        held[iteration][name] = value
    return dict(held)


def held(store: Path, tracker: str, cell: str) -> Held:
    """What the tracker holds of a cell."""
    folder = store / "trackers" / tracker
    run_id = json.loads((folder / "mirror.json").read_text())["id"]
    return READERS[tracker](folder, cell, f"{cell}-{run_id}")


def owed(run_dir: Path) -> Held:
    """What a tracker should hold of a finished cell, from the store's files."""
    values: Held = defaultdict(dict)
    for line in map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines()):
        for name in line.keys() - {"kind", "iteration"}:
            group = "spent" if name in AXES else line["kind"]
            values[line["iteration"]][f"{group}/{name}"] = line[name]
    values[max(values)]["final_success"] = json.loads((run_dir / "result.json").read_text())["final_success"]
    return dict(values)
