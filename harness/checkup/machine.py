"""Python, libraries, torch and its devices, cores."""

import os
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from harness.checkup.finding import Finding, fail, ok, warn
from harness.config import Launcher, LocalConfig

DISTRIBUTION = "creditbench"


def python() -> Iterator[Finding]:
    """Which Python this is."""
    yield ok("python", f"{sys.version.split()[0]}, {sys.executable}")


def libraries() -> Iterator[Finding]:
    """Whether what is required is installed, in versions that are known to work."""
    try:
        required = [Requirement(line) for line in requires(DISTRIBUTION) or ()]
    except PackageNotFoundError:
        yield warn(
            "libraries",
            f"{DISTRIBUTION} is not installed, so its requirements are not known: pip install -e .",
        )
        return
    needed = [each for each in required if each.marker is None or each.marker.evaluate({"extra": ""})]
    wrong = [problem for each in needed if (problem := misfit(each))]
    for problem in wrong:
        yield fail("libraries", problem)
    if not wrong:
        yield ok("libraries", f"all {len(needed)} that are required, in known versions")


def misfit(required: Requirement) -> str:
    """What is wrong with a required library; empty if nothing is."""
    try:
        found = version(required.name)
    except PackageNotFoundError:
        return f"{required.name} is missing: pip install '{required}'"
    if required.specifier.contains(found, prereleases=True):
        return ""
    return f"{required.name} {found} is not within {required.specifier}: pip install '{required}'"


def torch_devices() -> Iterator[Finding]:
    """Whether torch computes on the CPU and on every GPU that it sees."""
    import torch

    torch.ones(64, 64) @ torch.ones(64, 64)  # a build for other processors ends here
    yield ok("torch", f"{torch.__version__}, on the CPU")
    if not torch.cuda.is_available():
        if Path("/dev/nvidiactl").exists():
            yield warn(
                "cuda",
                f"there is an NVIDIA driver, but torch {torch.__version__} can't use it: install the build "
                "of torch for your CUDA (pytorch.org), or look at CUDA_VISIBLE_DEVICES",
            )
        else:
            yield ok("cuda", "no GPU here; model=tiny runs on CPU cores")
        return
    for index in range(torch.cuda.device_count()):
        name = torch.cuda.get_device_name(index)
        try:
            torch.ones(64, 64, device=f"cuda:{index}").sum().item()
        except RuntimeError as error:
            yield fail(
                "cuda",
                f"GPU {index} ({name}) doesn't compute ({error}): choose others by CUDA_VISIBLE_DEVICES",
            )
        else:
            free, total = (bytes_ / 2**30 for bytes_ in torch.cuda.mem_get_info(index))
            yield ok("cuda", f"GPU {index}: {name}, {free:.0f} of {total:.0f} GiB free")


def cores(launcher: Launcher) -> Iterator[Finding]:
    """Whether local workers have a core each."""
    usable = len(os.sched_getaffinity(0))
    if isinstance(launcher, LocalConfig) and launcher.at_once > usable:
        yield warn(
            "cores",
            f"launcher.workers={launcher.at_once} share {usable} cores, which slows each down: "
            f"set launcher.workers={usable}",
        )
    else:
        yield ok("cores", f"{usable} that this process may use")
