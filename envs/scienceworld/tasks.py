"""ScienceWorld's 30 tasks and how the package splits their variations.

Names and counts are the package's own answers (a test asks it), kept here so that panels need no Java.
"""

from harness.errors import UserError

VARIATIONS = {
    "boil": 30,
    "melt": 30,
    "freeze": 30,
    "change-the-state-of-matter-of": 30,
    "use-thermometer": 540,
    "measure-melting-point-known-substance": 436,
    "measure-melting-point-unknown-substance": 300,
    "power-component": 20,
    "power-component-renewable-vs-nonrenewable-energy": 20,
    "test-conductivity": 900,
    "test-conductivity-of-unknown-substances": 600,
    "find-living-thing": 300,
    "find-non-living-thing": 300,
    "find-plant": 300,
    "find-animal": 300,
    "grow-plant": 126,
    "grow-fruit": 126,
    "chemistry-mix": 32,
    "chemistry-mix-paint-secondary-color": 36,
    "chemistry-mix-paint-tertiary-color": 36,
    "lifespan-longest-lived": 125,
    "lifespan-shortest-lived": 125,
    "lifespan-longest-lived-then-shortest-lived": 125,
    "identify-life-stages-1": 14,
    "identify-life-stages-2": 10,
    "inclined-plane-determine-angle": 168,
    "inclined-plane-friction-named-surfaces": 1386,
    "inclined-plane-friction-unnamed-surfaces": 162,
    "mendelian-genetics-known-plant": 120,
    "mendelian-genetics-unknown-plant": 480,
}
"""Variations of each task, in the paper's order of tasks."""
TASKS_OF_TOPICS = {1: 4, 2: 3, 3: 4, 4: 4, 5: 2, 6: 3, 7: 3, 8: 2, 9: 3, 10: 2}
NUMBERS = [f"{topic}-{task}" for topic, count in TASKS_OF_TOPICS.items() for task in range(1, count + 1)]
"""The paper's number of each task, in the same order."""
BY_NUMBER = dict(zip(NUMBERS, VARIATIONS, strict=True))
SIMPLIFICATIONS = (
    "easy",
    "teleportAction",
    "selfWateringFlowerPots",
    "openContainers",
    "openDoors",
    "noElectricalAction",
)
ELECTRICAL = ("power-component", "conductivity")
"""Parts of the names of tasks that can't be done without electrical actions."""


def named(task: str) -> str:
    """The name of a task that is given by name or by number; raises `UserError`."""
    name = BY_NUMBER.get(task, task)
    if name not in VARIATIONS:
        raise UserError(
            f"env.task_names: ScienceWorld has no task {task!r}; there are "
            + ", ".join(f"{number} {each}" for number, each in BY_NUMBER.items())
        )
    return name


def check_simplifications(given: str, names: list[str]) -> None:
    """Raise `UserError` if the package doesn't know them, or a task can't be done with them."""
    parts = given.split(",") if given else []
    for part in parts:
        if part not in SIMPLIFICATIONS:
            raise UserError(
                f"env.simplifications={given}: ScienceWorld has no {part!r}; join with commas any of "
                + ", ".join(SIMPLIFICATIONS)
            )
    if "easy" in parts and len(parts) > 1:
        raise UserError(f"env.simplifications={given}: 'easy' stands for several others and must stand alone")
    electrical = [name for name in names if any(part in name for part in ELECTRICAL)]
    if "noElectricalAction" in parts and electrical:
        raise UserError(f"env.simplifications={given}: {electrical[0]} can't be done with noElectricalAction")


def split(name: str) -> dict[str, range]:
    """The variations for training, development and test, as the package splits them: half, a quarter, the
    rest."""
    count = VARIATIONS[name]
    quarter = count // 4
    return {
        "train": range(2 * quarter),
        "dev": range(2 * quarter, 3 * quarter),
        "test": range(3 * quarter, min(count, 5 * quarter)),
    }
