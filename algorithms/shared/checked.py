"""Asking an algorithm for its credit: the one place where what comes back is checked.

Shape suffixes: T action tokens, N trajectories.
"""

import math
import traceback

import numpy as np

from algorithms.base import Algorithm, Credit
from harness.errors import UserError
from harness.records.batch import Batch


class CreditError(UserError):
    """An algorithm's credit function failed, or what it gave back is not a credit of the batch."""


def checked_credit(algorithm: Algorithm, batch: Batch) -> Credit:
    """The algorithm's credit of the batch, KL penalties already taken from its rewards.

    Raises `CreditError`, one line with the algorithm's name, when its `credit` raises or breaks its promise;
    and FloatingPointError when a column that it reads is not finite, as after a run has diverged.
    """
    try:
        credit = algorithm.credit(batch)
    except UserError:
        raise
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(str(error).split())
        raise CreditError(
            f"the credit of algorithm {algorithm.name} failed: {type(error).__name__}: {text} "
            f"({where.filename}:{where.lineno})"
        ) from error
    if fault := fault_of(credit, algorithm, batch):
        if "not finite" in fault and (broken := not_finite(algorithm, batch)):
            raise FloatingPointError(f"{', '.join(broken)}: not finite, the run has diverged")
        raise CreditError(f"the credit of algorithm {algorithm.name} {fault}")
    return credit


def fault_of(credit: object, algorithm: Algorithm, batch: Batch) -> str | None:
    """What is wrong with a credit, to follow "the credit of algorithm NAME"; None when all is right."""
    if not isinstance(credit, Credit):
        return f"is a {type(credit).__name__}, not a Credit"
    tokens, trajectories = len(batch.logprob_T), len(batch.steps_N)
    if {credit.return_T is not None, credit.critic_T is not None} != {algorithm.has_critic}:
        needs = "both return_T and critic_T" if algorithm.has_critic else "neither return_T nor critic_T"
        return f"must have {needs}, as algorithm.baseline is {algorithm.baseline.value}"
    arrays = {
        "advantage_T": ("f", tokens, "token"),
        "return_T": ("f", tokens, "token"),
        "critic_T": ("b", tokens, "token"),
        "trained_N": ("b", trajectories, "trajectory"),
    }
    for name, (kind, length, unit) in arrays.items():
        value = getattr(credit, name)
        given = name == "advantage_T" or value is not None
        if given and (fault := fault_of_array(value, name, kind, length, unit)):
            return fault
    if not np.isfinite(credit.advantage_T).all():
        return "is not finite: advantage_T"
    if credit.return_T is not None and not np.isfinite(credit.return_T[credit.critic_T]).all():
        return "is not finite: return_T where the critic is trained"
    return fault_of_diagnostics(credit.diagnostics)


def fault_of_array(value: object, name: str, kind: str, length: int, unit: str) -> str | None:
    """What is wrong with one array of a credit; `kind` is numpy's letter for its type."""
    words = {"f": "floats", "b": "booleans"}[kind]
    if not isinstance(value, np.ndarray) or value.dtype.kind != kind:
        found = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
        return f"must have {name} as an array of {words}, not {found}"
    if value.shape != (length,):
        return f"must have one {name} per {unit}, shape ({length},), not {value.shape}"
    return None


def fault_of_diagnostics(diagnostics: object) -> str | None:
    """What is wrong with a credit's diagnostics."""
    if not isinstance(diagnostics, dict):
        return f"must have its diagnostics as a dictionary, not a {type(diagnostics).__name__}"
    for name, value in diagnostics.items():
        if not isinstance(name, str) or not isinstance(value, (int, float)):
            return f"must have numbers by name as its diagnostics, not {name!r}: {value!r}"
        if not math.isfinite(value):
            return f"is not finite: the diagnostic {name}"
    return None


def not_finite(algorithm: Algorithm, batch: Batch) -> list[str]:
    """The columns of the batch that the algorithm names, and rewards, in which something is not finite."""
    names = sorted({"reward_S", *algorithm.columns})
    columns = {name: getattr(batch, name) for name in names}
    return [
        name
        for name, column in columns.items()
        if isinstance(column, np.ndarray) and not np.isfinite(column).all()
    ]
