"""The words of a game, found by trying every command everywhere."""

from collections.abc import Iterable, Sequence

from envs.base import normalise
from envs.engines import Game, Scene
from harness.errors import UserError

MOST_SCENES = 2000
"""Scenes of one game that are looked at; games with more have no list of words."""


def words_of(game: Game, unused: Sequence[str] = ()) -> set[str]:
    """Every word that the game can show to players who never give the `unused` commands.

    A scene counts as seen before if place, inventory and score are (the scene's key). A world that changes
    out of sight shows the change when it is come back to, which is another key.
    """
    words: set[str] = set()
    start = game.start()
    ahead, known = [start], {start.scene.key}
    while ahead:
        place = ahead.pop()
        words |= spoken(place.scene)
        if place.scene.won or place.scene.over:
            continue
        for command in [each for each in place.scene.commands if each not in unused]:
            after = game.follow(place, command)
            words |= spoken(after.scene)
            if after.scene.key not in known:
                known.add(after.scene.key)
                ahead.append(after)
        if len(known) > MOST_SCENES:
            raise UserError(
                f"the words of this game can't be listed, it has over {MOST_SCENES} scenes: take a smaller "
                "env.parameters, or a pretrained model, as in model=smollm2_135m"
            )
    return words


def spoken(scene: Scene) -> set[str]:
    """The words of one scene."""
    texts: Iterable[str] = (scene.goal, scene.text, scene.view, *scene.commands)
    return {word for text in texts for word in normalise(text).split()}
