"""The pages keep what they promise: each algorithm has one, commands compose, tests named there exist."""

import re
import shlex
from pathlib import Path

import pytest

from harness import credit, sweep
from harness.compose import compose_run, compose_sweep
from harness.compose.composing import compose, group_options
from harness.launch.slurm.sbatch import shown

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs" / "algorithms").glob("*.md"))
ENVIRONMENTS = sorted((ROOT / "docs" / "environments").glob("*.md"))
OTHERS = [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in ("slurm", "published", "thought"))]
WITH_COMMANDS = [*PAGES, *ENVIRONMENTS, *OTHERS]


def commands(page: Path) -> list[list[str]]:
    """The words of every `python -m harness...` in the page's fenced blocks, comments dropped."""
    blocks = "\n".join(re.findall(r"```\w*\n(.*?)```", page.read_text(), flags=re.DOTALL))
    lines = blocks.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("python -m harness.")]


ALL_COMMANDS = list(dict.fromkeys(tuple(command) for page in WITH_COMMANDS for command in commands(page)))


@pytest.mark.parametrize("command", ALL_COMMANDS, ids=" ".join)
def test_commands_compose(command, tmp_path, capsys):
    _, _, module, *arguments = command
    if module == "harness.sweep" and "model=smollm2_135m" in arguments:
        # A plan reads the model's own files, which are not on every machine.
        assert compose_sweep(arguments)
    elif module == "harness.sweep":
        elsewhere = [] if "--help" in arguments else [f"sweep.out={tmp_path}", "--dry-run"]
        assert sweep.main([*arguments, *elsewhere]) == 0, capsys.readouterr().err
    elif module == "harness.run":
        compose_run(arguments)
    elif module == "harness.credit":
        options = credit.parser().parse_args(arguments)
        assert credit.chosen(options.algorithms, options.set)
    else:
        assert (ROOT / (module.replace(".", "/") + ".py")).exists(), module


def test_the_site_configuration_on_the_slurm_page(tmp_path):
    text = re.search(r"```yaml\n(.*?)```", (ROOT / "docs" / "slurm.md").read_text(), flags=re.DOTALL)
    (tmp_path / "launcher").mkdir()
    (tmp_path / "launcher" / "mycluster.yaml").write_text(text[1])
    command = ["+sweep=smoke", "launcher=mycluster", f"hydra.searchpath=[file://{tmp_path}]"]
    _, launcher, _ = compose_sweep(command)
    assert shown(launcher) == (
        "sbatch --partition=gpu --account=abc@v100 --qos=normal --constraint=a100 --gres=gpu:1 --mem=32G "
        "--time=240 --cpus-per-task=8 --nodes=1 --ntasks=1 --signal=USR2@120 --requeue --exclude=node07 "
        "--array=0-N%64"
    )
    assert launcher.setup == ("module load cuda/12.6", "export HF_HUB_OFFLINE=1")


@pytest.mark.parametrize("name", group_options("algorithm"))
def test_every_algorithm_has_its_page(name):
    module = compose([f"algorithm={name}"]).algorithm._target_.split(".")[1]
    assert f"`{name}`" in (ROOT / "docs" / "algorithms" / f"{module}.md").read_text() or module == name
    assert f"`{name}`" in (ROOT / "docs" / "algorithms" / "README.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_named_on_a_page_exist(page):
    defined = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", page.read_text()):
        assert f"def {name}(" in defined, f"{page.name} names {name}"
    for path in re.findall(r"`(tests/[\w/]+\.py)`", page.read_text()):
        assert (ROOT / path).exists(), f"{page.name} names {path}"


@pytest.mark.parametrize("page", [*PAGES, *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
