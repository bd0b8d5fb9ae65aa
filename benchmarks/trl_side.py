"""TRL's GRPOTrainer on given rows, and on prompts."""

import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback, TrainerCallback

from benchmarks.machine import Took, held, peak, seconds
from benchmarks.training import GROUP
from harness.errors import UserError
from harness.policy.rows import Row

try:
    from datasets import Dataset
    from datasets.utils.logging import disable_progress_bar
    from trl import GRPOConfig, GRPOTrainer
except ImportError as error:
    raise UserError("this benchmark needs an extra: pip install 'creditbench[benchmarks]'") from error

disable_progress_bar()
warnings.filterwarnings("ignore")


class Timed(TrainerCallback):
    """What each optimiser step took, generation included where there is any."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.steps: list[Took] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.held, self.start = held(self.device), seconds(self.device)

    def on_step_end(self, *_: Any, **__: Any) -> None:
        took = seconds(self.device) - self.start
        self.steps.append(Took(took, peak(self.device) - self.held))


class Given(GRPOTrainer):
    """TRL's loop from the scored batch on: what was generated is given."""

    batch: dict[str, torch.Tensor]

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, torch.Tensor]:
        return dict(self.batch)


def options(folder: str, rows: int, steps: int, micro_rows: int, device: torch.device, **more: Any) -> Any:
    """The same loss, precision and micro-batches as ours, and none of the extras that cost time."""
    return GRPOConfig(
        output_dir=folder,
        per_device_train_batch_size=micro_rows,
        gradient_accumulation_steps=rows // micro_rows,
        num_generations=GROUP,
        max_steps=steps,
        loss_type="grpo",
        beta=0.0,
        gradient_checkpointing=False,
        bf16=device.type == "cuda",
        use_cpu=device.type == "cpu",
        lr_scheduler_type="constant",
        optim="adamw_torch_fused",
        weight_decay=0.01,
        max_grad_norm=1.0,
        report_to="none",
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
        **more,
    )


def padded(rows: list[Row], advantage_R: torch.Tensor, pad: int) -> dict[str, torch.Tensor]:
    """Rows as TRL holds them: prompts padded on the left, completions on the right, to the longest."""
    widest = [max(len(row[side]) for row in rows) for side in (0, 1)]
    ids = [torch.full((len(rows), width), pad) for width in widest]
    masks = [torch.zeros(len(rows), width, dtype=torch.long) for width in widest]
    for number, (prompt, response) in enumerate(rows):
        ids[0][number, widest[0] - len(prompt) :] = torch.tensor(prompt)
        masks[0][number, widest[0] - len(prompt) :] = 1
        ids[1][number, : len(response)] = torch.tensor(response)
        masks[1][number, : len(response)] = 1
    return {
        "prompt_ids": ids[0],
        "prompt_mask": masks[0],
        "completion_ids": ids[1],
        "completion_mask": masks[1],
        "advantages": advantage_R,
        "num_items_in_batch": masks[1].sum(),
    }


def updates(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[Row],
    advantage_R: torch.Tensor,
    micro_rows: int,
    steps: int,
) -> tuple[list[Took], float]:
    """What each of `steps` updates took, and the last one's gradient norm."""
    device, timed = model.device, Timed(model.device)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Given(
            model=model,
            processing_class=tokenizer,
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=options(folder, len(rows), steps, micro_rows, device, learning_rate=0.0),
            train_dataset=Dataset.from_list([{"prompt": "-"}] * len(rows)),
            callbacks=[timed],
        )
        batch = padded(rows, advantage_R, tokenizer.pad_token_id)
        trainer.batch = {name: tensor.to(device) for name, tensor in batch.items()}
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        norms = [line["grad_norm"] for line in trainer.state.log_history if "grad_norm" in line]
    return timed.steps, norms[-1]


def iterations(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[Any],
    reward: Callable[..., list[float]],
    longest: int,
    steps: int,
    lr: float,
) -> tuple[list[Took], list[float]]:
    """What each of `steps` iterations took, GROUP samples of each of `prompts`; their mean lengths."""
    device, timed = model.device, Timed(model.device)
    rows = GROUP * len(prompts)
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=model,
            processing_class=tokenizer,
            reward_funcs=reward,
            args=options(folder, rows, steps, GROUP, device, learning_rate=lr, max_completion_length=longest),
            train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in prompts]),
            callbacks=[timed],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        log = [line for line in trainer.state.log_history if "completions/mean_length" in line]
    return timed.steps, [line["completions/mean_length"] for line in log]
