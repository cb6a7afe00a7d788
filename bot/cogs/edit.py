"""/edit and /reality: pictures of a person by choices instead of a prompt."""

from __future__ import annotations

from typing import Final, Literal

import discord
from discord import app_commands

from bot.cogs.options import DrawingCommands, person_in, shared_options
from bot.domain.draw_request import DrawOptions
from photomaker_core.errors import PromptError

Who = Literal["man", "woman", "boy", "girl", "person"]
Age = Literal["child", "teenager", "young", "middle-aged", "old"]
HairColour = Literal["black", "brown", "blonde", "red", "grey", "white", "blue", "green", "pink", "purple"]
Beard = Literal["none", "stubble", "moustache", "goatee", "full beard"]
Glasses = Literal["none", "glasses", "sunglasses"]
Hat = Literal["none", "hat", "cap", "beanie", "crown"]
Expression = Literal["neutral", "smiling", "laughing", "sad", "angry", "surprised"]

_BEARDS: Final[dict[Beard, str]] = {
    "none": "clean shaven",
    "stubble": "with stubble",
    "moustache": "with a moustache",
    "goatee": "with a goatee",
    "full beard": "with a beard",
}
_REALITY_PROMPT: Final = "a photo of a {who} img, natural light, realistic skin, detailed face"
_REALITY_NEGATIVE: Final = "painting, drawing, sketch, statue, cartoon, black and white, sepia"


class EditCommands(DrawingCommands):
    """The commands that make the prompt themselves."""

    @app_commands.command(description="Draw a person with another age, hair, expression, clothing, …")
    @app_commands.describe(
        who="The word for the person",
        age="How old",
        hair="The colour of the hair",
        beard="The beard",
        glasses="Glasses",
        hat="A hat",
        expression="The expression",
        clothing="What they wear, for example: a red dress",
        background="Where they are, for example: at the beach",
    )
    @shared_options
    async def edit(
        self,
        interaction: discord.Interaction,
        identity: str | None = None,
        who: Who = "person",
        age: Age | None = None,
        hair: HairColour | None = None,
        beard: Beard | None = None,
        glasses: Glasses | None = None,
        hat: Hat | None = None,
        expression: Expression | None = None,
        clothing: str | None = None,
        background: str | None = None,
        seed: int | None = None,
    ) -> None:
        await interaction.response.defer()
        prompt = edited_prompt(
            who,
            age=age,
            hair=hair,
            beard=beard,
            glasses=glasses,
            hat=hat,
            expression=expression,
            clothing=clothing,
            background=background,
        )
        await self._drawing.draw(interaction, DrawOptions(prompt, seed=seed), [(person_in(identity), 1.0)])

    @app_commands.command(description="Bring a person of an artwork or an old photo into reality")
    @app_commands.describe(who="The word for the person")
    @shared_options
    async def reality(
        self,
        interaction: discord.Interaction,
        identity: str | None = None,
        who: Who = "person",
        seed: int | None = None,
    ) -> None:
        await interaction.response.defer()
        options = DrawOptions(
            _REALITY_PROMPT.format(who=who), style="Photographic", negative=_REALITY_NEGATIVE, seed=seed
        )
        await self._drawing.draw(interaction, options, [(person_in(identity), 1.0)])


def edited_prompt(
    who: Who,
    *,
    age: Age | None = None,
    hair: HairColour | None = None,
    beard: Beard | None = None,
    glasses: Glasses | None = None,
    hat: Hat | None = None,
    expression: Expression | None = None,
    clothing: str | None = None,
    background: str | None = None,
) -> str:
    """The choices as a prompt with the trigger word; raises :class:`PromptError` where nothing was chosen."""
    details = [
        {"child": "as a child", "teenager": "as a teenager"}.get(age, f"{age}") if age else None,
        f"with {hair} hair" if hair else None,
        _BEARDS[beard] if beard else None,
        {"none": "without glasses"}.get(glasses, f"wearing {glasses}") if glasses else None,
        {"none": "bareheaded"}.get(hat, f"wearing a {hat}") if hat else None,
        {"neutral": "with a neutral face"}.get(expression, expression) if expression else None,
        f"wearing {clothing.strip()}" if clothing and clothing.strip() else None,
        background.strip() if background and background.strip() else None,
    ]
    chosen = [detail for detail in details if detail]
    if not chosen:
        raise PromptError("Choose at least one thing to change: age, hair, expression, clothing, background, …")
    return f"a photo of a {who} img, {', '.join(chosen)}"
