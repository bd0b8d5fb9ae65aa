"""Arms that stay at an end of the scale: there a task tells nothing about them."""

from reports.settings import Setting


def at_floor(setting: Setting) -> list[str]:
    """The arms no finished run of which ever rises above the smallest effect of interest."""
    return [arm for arm, tops in tops_of(setting).items() if tops and max(tops) <= setting.sesoi]


def at_ceiling(setting: Setting) -> list[str]:
    """The arms all of whose runs finish, within the smallest effect of interest of a success of 1."""
    lowest = setting.finals.min().dropna()
    return [str(arm) for arm in lowest.index[lowest >= 1 - setting.sesoi]]


def tops_of(setting: Setting) -> dict[str, list[float]]:
    """By arm, the best success of each finished run."""
    return {arm: [float(lines["score"].max()) for lines in setting.finished(arm)] for arm in setting.arms}
