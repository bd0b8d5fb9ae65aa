"""What is trained, as modules whose `forward` runs everything from the embedding to the head.

FSDP (`harness.parallel.sharded`) gathers a module's weights only during its `forward`, so all computation
with them must happen inside it.

Shape suffixes: T response tokens of the rows, M of their prefix tree, W width.
"""

from torch import Tensor, nn

from harness.policy.gpt2 import Policy
from harness.policy.model import Critic, HeadCritic, trunk
from harness.policy.rows import Rows, hidden_states, spread, token_logprobs


class PolicyPass(nn.Module):
    """The policy, and the critic that is a head on its trunk if there is one."""

    def __init__(self, policy: Policy, critic: HeadCritic | None) -> None:
        super().__init__()
        self.policy, self.critic = policy, critic

    def forward(self, rows: Rows) -> tuple[Tensor, ...]:
        """Log-probabilities and entropies (T,) of the response tokens; with a critic, values before them."""
        hidden_MW = hidden_states(trunk(self.policy), rows)
        logprob_T, entropy_T = token_logprobs(self.policy, hidden_MW, rows)
        if self.critic is None:
            return logprob_T, entropy_T
        return logprob_T, entropy_T, spread(self.critic.values(hidden_MW), rows)


class CriticPass(nn.Module):
    """A critic of its own."""

    def __init__(self, critic: Critic) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, rows: Rows) -> tuple[Tensor, ...]:
        """Values (T,) of the states before the response tokens."""
        hidden_MW = hidden_states(self.critic.backbone, rows)
        return (spread(self.critic.values(hidden_MW), rows),)
