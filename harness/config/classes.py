"""Classes by their dotted names, as a configuration's `_target_` has them."""

from dataclasses import is_dataclass
from importlib import import_module

from harness.errors import UserError


def class_of(target: object, where: str) -> type:
    """The dataclass of this dotted name. Raises `UserError` if there is none, naming the part `where`.

    Hydra's `get_class` does the same, but logs the error on stderr besides.
    """
    module, _, name = str(target).rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except SyntaxError as error:
        raise UserError(f"{where}: {error.filename}, line {error.lineno}: {error.msg}") from error
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{where}: there is no {target} ({error})") from error
    if not (isinstance(found, type) and is_dataclass(found)):
        raise UserError(f"{where}: {target} is not a dataclass")
    return found
