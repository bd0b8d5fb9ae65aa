"""The papers' tables as sweeps: every arm has the published settings."""

from collections.abc import Mapping
from dataclasses import fields
from enum import Enum

import pytest

from harness.compose import compose_sweep
from harness.compose.composing import group_options
from harness.config import RunConfig

Settings = Mapping[str, object]
VERL_AGENT: Settings = {
    # Nala-YN/G2PO @ b8ffaf5, examples/g2po_trainer/run_{alfworld,webshop}.sh: Qwen2.5-1.5B-Instruct, 16 x 8,
    # response 512, lr 1e-6, KL loss low_var_kl .01, invalid_action_penalty_coef .1, 100 epochs, test_freq 5.
    "model.name": "qwen2.5_1.5b",
    "model.lr": 1e-6,
    "model.max_action_tokens": 512,
    "model.answer": "tagged",
    "batch.trajectories": 128,
    "budget.axis": "trajectories",
    "budget.limit": 100 * 128,
    "evaluation.points": 100 // 5,
    "algorithm.rollouts": 8,
    "algorithm.kl_place": "loss",
    "algorithm.kl_estimator": "k3",
    "algorithm.kl_coef": 0.01,
    "algorithm.equations": "released",
    "algorithm.invalid_penalty": 0.1,
    # its verl/trainer/config/ppo_trainer.yaml: clip .2 / .2, c 3, token-mean, entropy .001, history_length 2.
    "algorithm.clip_low": 0.2,
    "algorithm.clip_high": 0.2,
    "algorithm.dual_clip": 3.0,
    "algorithm.aggregation": "token_mean",
    "algorithm.entropy_coef": 0.001,
    "env.history": 2,
    # agent_system/environments/env_package/webshop/envs.py, and ALFWorld's: 10 for success, 0 for all else.
    "rollout.reward": "success",
    "rollout.reward_scale": 10.0,
    "env.split": "unseen",
}
CAPO_SCRIPTS: Settings = {
    # AgentR1/CAPO @ 9d97128, examples/{alfworld,webshop}/run_{ppo,grpo}.sh: 128 x 1 or 16 x 8, 8192 + 4096
    # tokens, lr 1e-6 and 1e-5, entropy 0, seq-mean-token-mean over rows, which are steps; test_freq 5; the
    # paper's curves end at 200.
    "model.name": "qwen3_4b_instruct_2507",
    "model.lr": 1e-6,
    "model.critic_lr": 1e-5,
    "model.max_prompt_tokens": 8192,
    "model.max_action_tokens": 4096,
    "model.answer": "tool_call",
    "batch.trajectories": 128,
    "budget.limit": 200 * 128,
    "evaluation.points": 200 // 5,
    "algorithm.aggregation": "step_mean",
    "algorithm.kl_coef": 0.001,
    "algorithm.entropy_coef": 0.0,
    "rollout.reward": "success",
    "env.split": "unseen",
}
IN_LOSS: Settings = {"algorithm.kl_place": "loss", "algorithm.kl_estimator": "k3"}
IN_REWARD: Settings = {"algorithm.kl_place": "reward", "algorithm.kl_estimator": "k1"}
VANILLA: Settings = {"algorithm.clip_low": 0.2, "algorithm.clip_high": 0.2, "algorithm.dual_clip": 3.0}
ROWS: Settings = {"algorithm.ratio_unit": "step", "algorithm.clip_low": 3e-4, "algorithm.dual_clip": 0.0}
CAPO_ARMS: list[tuple[str, Settings]] = [
    # run_ppo.sh: token_gae, gamma .99, vanilla loss.
    ("ppo", {**IN_LOSS, **VANILLA, "algorithm.gamma": 0.99, "algorithm.lam": 1.0}),
    # run_reinforce_plus_plus.sh, run_rloo.sh over run_grpo.sh: KL (k1) in the reward.
    ("reinforce_pp_unlinked", {**IN_REWARD, **VANILLA, "algorithm.rollouts": 8, "algorithm.gamma": 0.99}),
    ("grpo", {**IN_LOSS, **VANILLA, "algorithm.normalise_unit": "trajectories_of_group"}),
    ("rloo", {**IN_REWARD, **VANILLA, "algorithm.rollouts": 8}),
    # run_gspo.sh: loss_mode gspo on rows, 3e-4 / 3e-4.
    ("gspo", {**IN_LOSS, **ROWS, "algorithm.clip_high": 3e-4}),
    # run_gigpo.sh: w 1, mean_std_norm, no similarity.
    ("gigpo", {**IN_LOSS, **VANILLA, "algorithm.gamma": 0.99, "algorithm.step_weight": 1.0}),
    # run_steppo.sh: gae, gspo, 3e-4 / 3e-4, gamma .99.
    ("steppo", {**IN_LOSS, **ROWS, "algorithm.clip_high": 3e-4, "algorithm.gamma": 0.99}),
    # AgentR1/StepPO @ 26107f1, examples/run_{alfworld,webshop}_step_adv.sh: gamma 1 by default, 3e-4 / 4e-4.
    ("steppo", {**IN_LOSS, **ROWS, "algorithm.clip_high": 4e-4, "algorithm.gamma": 1.0}),
    # arXiv 2604.18401 v5: eps 1e-3, the ratio by 1 / sqrt(L).
    (
        "capo",
        {**IN_LOSS, "algorithm.ratio_unit": "step_sqrt", "algorithm.clip_low": 1e-3, "algorithm.gamma": 0.99},
    ),
]
CENTRED: Settings = {"algorithm.normalise_unit": "none", "algorithm.gamma": 0.95}
COMMON: dict[str, Settings] = {
    # run_alfworld.sh: prompt 2048, max_steps 50, mean_std_norm; eval_in_distribution, 128 tasks.
    "paper_g2po_alfworld": {
        **VERL_AGENT,
        "env.name": "alfworld",
        "env.horizon": 50,
        "env.games": "official",
        "env.held_out": "seen",
        "env.train_tasks": 3553,
        "env.eval_tasks": 128,
        "model.max_prompt_tokens": 2048,
        "prompt.name": "verl_agent_alfworld",
    },
    # run_webshop.sh: prompt 4096, max_steps 15, mean_norm, 2 x 128 tasks; use_small, human_goals False.
    "paper_g2po_webshop": {
        **VERL_AGENT,
        "env.name": "webshop",
        "env.horizon": 15,
        "env.products": "small",
        "env.goals": "synthetic",
        "env.suggest_search": False,
        "env.eval_tasks": 256,
        "model.max_prompt_tokens": 4096,
        "prompt.name": "verl_agent_webshop",
    },
    # recipe/alfworld: 20 steps, 1 / 0, nothing off for a malformed call; valid_seen has 140 games.
    "paper_steppo_alfworld": {
        **CAPO_SCRIPTS,
        "env.name": "alfworld",
        "env.horizon": 20,
        "env.games": "official",
        "env.held_out": "seen",
        "env.train_tasks": 3553,
        "env.eval_tasks": 140,
        "rollout.reward_scale": 1.0,
        "model.format_penalty": 0.0,
        "prompt.name": "steppo_alfworld",
    },
    # recipe/webshop: 15 steps, 10 / 0, .1 off for a malformed call; 500 goals to test, all products.
    "paper_steppo_webshop": {
        **CAPO_SCRIPTS,
        "env.name": "webshop",
        "env.horizon": 15,
        "env.products": "full",
        "env.goals": "human",
        "env.suggest_search": False,
        "env.eval_tasks": 500,
        "rollout.reward_scale": 10.0,
        "model.format_penalty": 0.1,
        "prompt.name": "steppo_webshop",
    },
}
ARMS: dict[str, list[tuple[str, Settings]]] = {
    "paper_g2po_alfworld": [
        ("rloo", {"algorithm.normalise_unit": "none", "env.state": "observation"}),
        ("grpo", {"algorithm.normalise_unit": "trajectories_of_group"}),
        ("gigpo", {"algorithm.normalise_unit": "steps_of_state_group", "algorithm.gamma": 0.95}),
        # Its env_manager.py adds the admissible actions to the anchor.
        (
            "g2po",
            {
                "algorithm.normalise_unit": "edges_of_graph",
                "algorithm.gamma": 0.95,
                "algorithm.graph_weight": 1.0,
                "env.state": "observation_and_actions",
            },
        ),
    ],
    "paper_g2po_webshop": [
        ("rloo", {"algorithm.normalise_unit": "none"}),
        ("grpo", {"algorithm.normalise_unit": "trajectories_of_group"}),
        ("gigpo", {**CENTRED, "algorithm.step_weight": 1.0}),
        ("g2po", {**CENTRED, "algorithm.graph_weight": 1.0}),
    ],
    "paper_steppo_alfworld": CAPO_ARMS,
    "paper_steppo_webshop": CAPO_ARMS,
}


def flat(config: RunConfig) -> dict[str, object]:
    """A run's options by their dotted names, choices by theirs; and the names of environment and arm."""
    found: dict[str, object] = {"env.name": config.env.name, "algorithm.name": config.algorithm.name}
    for part in ("algorithm", "env", "prompt", "model", "rollout", "batch", "budget", "evaluation"):
        options = getattr(config, part)
        values = {field.name: getattr(options, field.name) for field in fields(options)}
        found |= {f"{part}.{o}": v.name if isinstance(v, Enum) else v for o, v in values.items()}
    return found


def test_every_paper_has_its_settings_here():
    papers = [name for name in group_options("sweep") if name.startswith("paper_")]
    assert sorted(papers) == sorted(COMMON) == sorted(ARMS)


@pytest.mark.parametrize("name", sorted(COMMON))
def test_published_settings(name):
    sweep, _, cells = compose_sweep([f"+sweep={name}"])
    assert sweep.seeds == (0, 1, 2), "the papers' three"
    assert len(cells) == 3 * len(ARMS[name])
    for cell, (algorithm, own) in zip(cells, ARMS[name], strict=False):
        found = flat(cell)
        expected = {**COMMON[name], "algorithm.name": algorithm, **own}
        assert {option: found.get(option) for option in expected} == expected
        assert cell.tasks_per_iteration * cell.algorithm.plan().trajectories == 128
