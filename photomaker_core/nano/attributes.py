"""The named attributes that a portrait shows, each with a closed set of values.

The portrait judge learns them, and the evaluation's prompts ask for them.
"""

from __future__ import annotations

from typing import Final

from photomaker_core.nano.scenes import (
    ACTIONS,
    CLOTHES,
    COLOURS,
    EXPRESSIONS,
    FRAMINGS,
    GLASSES,
    HAIR_COLOURS,
    HATS,
    MEDIA,
    PLACES,
    SKIN_TONES,
    Identity,
    Scene,
)

ATTRIBUTES: Final[dict[str, tuple[str, ...]]] = {
    "sex": ("male", "female"),
    "age": ("child", "adult", "old"),
    "skin": tuple(SKIN_TONES),
    "hair_colour": tuple(HAIR_COLOURS),
    "expression": EXPRESSIONS,
    "glasses": GLASSES,
    "hat": HATS,
    "hat_colour": tuple(COLOURS),
    "clothes": CLOTHES,
    "clothes_colour": tuple(COLOURS),
    "background": (*COLOURS, *PLACES),
    "medium": MEDIA,
    "framing": FRAMINGS,
    "action": ACTIONS,
}


def shown_attributes(identity: Identity, scene: Scene) -> dict[str, str]:
    """The attributes that a picture of ``identity`` in ``scene`` shows; what it hides has no entry."""
    shown = {
        "sex": identity.sex,
        "age": identity.age,
        "expression": scene.expression,
        "glasses": scene.glasses,
        "hat": scene.hat,
        "clothes": scene.clothes,
        "medium": scene.medium,
        "framing": scene.framing,
        "action": scene.action,
    }
    coloured = scene.medium not in ("sketch", "sepia")
    if coloured:
        shown |= {"skin": identity.skin, "clothes_colour": scene.clothes_colour}
        if identity.hair_style != "bald" and scene.hat != "beanie":
            shown["hair_colour"] = scene.dyed_hair or identity.hair_colour
        if scene.hat not in ("none", "crown"):
            shown["hat_colour"] = scene.hat_colour
    if coloured or scene.background in PLACES:
        shown["background"] = scene.background
    return shown
