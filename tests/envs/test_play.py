"""The commands that show environments to people: a game in the terminal, and the frozen panel."""

import io
import json
import subprocess
import sys

import pytest

from envs import panel, play
from harness.compose import compose_run

SMALL = ["vault", "env.rooms=2", "env.key=false"]


@pytest.fixture
def played(monkeypatch, capsys):
    """Play with these lines on stdin; returns the exit code, stdout and stderr."""

    def run(lines: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(lines))
        code = play.main([*SMALL, *arguments])
        return code, *capsys.readouterr()

    return run


def winning(spec) -> list[str]:
    """The actions that solve the first task of a vault of two rooms."""
    environment = spec.make()
    _, info = environment.reset(spec.evaluation_panel()[0])
    (way,) = [action for action in info.admissible if action.startswith("go")]
    return [way, "take coin"]


def test_actions_are_words_or_numbers(played):
    spec = compose_run([f"env={SMALL[0]}", *SMALL[1:]]).env
    words = winning(spec)
    code, out, err = played("\n".join(words))
    assert (code, err) == (0, "")
    assert "solved after 2 steps" in out
    assert "20 steps left" in out
    assert "reward 1" in out
    number = next(line.split()[0] for line in out.splitlines() if line.endswith(words[0]))
    assert "solved after 2 steps" in played(f"{number}\n\nTake  COIN\n")[1]


def test_a_player_may_leave_and_the_input_may_end(played):
    for lines in ("look\nquit\nlook\n", "look\n"):
        code, out, _ = played(lines)
        assert code == 0
        assert out.endswith("left after 1 steps\n")


def test_what_is_not_possible_costs_a_step_and_is_said(played):
    _, out, _ = played("77\nfly\n", "env.horizon=2")
    assert out.count("not possible, it costs a step all the same") == 2
    assert out.endswith("out of steps after 2 steps\n")


def test_tasks_are_chosen_from_the_panel_or_a_stream(played):
    assert "task vault-train-3," in played("", "--task", "3")[1]
    assert "task vault-tuning-eval-30," in played("", "--task", "30", "--stream", "tuning-eval")[1]


@pytest.mark.parametrize("command", [play, panel])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name an environment first; there are "),
        (["env.rooms=2", "vault"], "name an environment first"),
        (["valt"], "env=valt does not exist: did you mean vault?"),
        (["vault", "env.room=3"], "did you mean rooms?"),
        (["vault", "rooms=3"], "rooms=3 has no effect: an environment has env.OPTION=VALUE alone"),
        (["vault", "env.rooms=99"], "env.rooms=99 must be 2 to 9"),
        (["vault", "--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_bad_input_is_one_line(command, arguments, words, capsys):
    assert command.main(arguments) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert (out, err.count("\n")) == ("", 1)


@pytest.mark.parametrize(("number", "words"), [("8", "the panel's tasks are 0 to 7"), ("-1", "at least 0")])
def test_a_task_that_the_panel_lacks_is_refused(played, number, words):
    code, _, err = played("", "--task", number)
    assert code == 2
    assert words in err


def test_the_panel_is_the_one_that_runs_are_evaluated_on(capsys):
    overrides = ["env.rooms=4", "env.split=unseen", "env.eval_tasks=3"]
    spec = compose_run(["env=vault", *overrides]).env
    assert panel.main(["vault", *overrides]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:-1]] == [
        [task.id, str(task.seed)] for task in spec.evaluation_panel()
    ]
    assert lines[-1] == f"vault 1, 3 tasks, panel {spec.panel_hash()}"
    assert panel.main(["--json", "vault", *overrides]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["panel_hash"] == spec.panel_hash()
    assert [task["seed"] for task in found["tasks"]] == [task.seed for task in spec.evaluation_panel()]


def test_goals_are_shown(capsys):
    task = compose_run(["env=household"]).env.evaluation_panel()[0]
    assert panel.main(["household"]) == 0
    assert f"{task.seed}  {task.goal}\n" in capsys.readouterr().out


def test_neither_loads_a_model():
    """The commands answer at once: nothing of torch is imported."""
    code = "import sys, envs.play, envs.panel; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
