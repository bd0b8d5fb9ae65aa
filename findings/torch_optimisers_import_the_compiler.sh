#!/usr/bin/env bash
# torch 2.13.0 (any build; a CPU one is enough), nothing compiled anywhere.
#
# Guess:  torch.optim is imported with torch, so making an optimiser imports nothing more. Workers that are forked
#         from a process that has imported torch start at once.
# Seen:   the first optimiser that is made, of any class, imports torch.compile's front end (torch._dynamo) and what
#         that needs, sympy among it: 800 modules and about as many seconds as `import torch` itself. The functional
#         form of the same step (torch.optim.adamw.adamw) imports none of it and gives the same bits.
# So:     a harness that forks a worker for each short run pays seconds in each of them, and a profile shows them
#         inside `AdamW.__init__`. Import torch._dynamo before the fork, or step by the functional form.
#
# Output seen:
#   before: compiler imported False
#   after the functional step: compiler imported False
#   after AdamW(...): compiler imported True, hundreds of modules more
#   same bits: True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0'

cat > "$folder/optimiser.py" <<'PYTHON'
import sys

import torch
from torch.optim.adamw import adamw

OPTIONS = {"lr": 0.1, "weight_decay": 0.01, "eps": 1e-8}


def compiler() -> bool:
    return "torch._dynamo" in sys.modules


weight = torch.nn.Parameter(torch.arange(6.0))
other = torch.nn.Parameter(torch.arange(6.0))
gradient = torch.linspace(-1, 1, 6)
print("before: compiler imported", compiler())
assert not compiler()
moments = [[torch.zeros(6)], [torch.zeros(6)], [], [torch.tensor(0.0)]]
with torch.no_grad():
    adamw(
        [weight], [gradient], *moments,
        fused=True, amsgrad=False, maximize=False, beta1=0.9, beta2=0.999, **OPTIONS,
    )  # fmt: skip
print("after the functional step: compiler imported", compiler())
assert not compiler()
known = set(sys.modules)
optimiser = torch.optim.AdamW([other], fused=True, **OPTIONS)
new = set(sys.modules) - known
print("after AdamW(...): compiler imported", str(compiler()) + ",", "hundreds of modules more" if len(new) > 300 else len(new))
assert compiler() and "sympy" in sys.modules and len(new) > 300
other.grad = gradient
optimiser.step()
print("same bits:", torch.equal(weight, other))
assert torch.equal(weight, other)
PYTHON
"$folder/venv/bin/python" "$folder/optimiser.py"
