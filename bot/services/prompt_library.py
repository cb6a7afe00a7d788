"""Prompts that members keep. Called by ``/prompt`` and by the form behind **Keep prompt**."""

from __future__ import annotations

from bot.domain.draw_request import checked_prompt
from bot.domain.identity_names import checked_name, shown
from bot.domain.minor_protection import check_minors
from bot.domain.several_people import people_in
from bot.i18n.catalogue import gettext
from photomaker_core.conditioning.prompt_weights import weighted_texts
from photomaker_core.conditioning.trigger_placement import DEFAULT_TRIGGER_WORD, place_triggers
from storage import PromptStore


async def keep_prompt(prompts: PromptStore, user_id: int, name: str, prompt: str) -> str:
    """Keep a prompt and return the sentence for the member. Raises :class:`UserError` or :class:`StorageError`."""
    name, prompt = checked_name(name), checked_prompt(prompt)
    place_triggers(prompt, DEFAULT_TRIGGER_WORD, max(1, people_in(prompt)))
    weighted_texts(prompt)
    check_minors(prompt)
    replaced = await prompts.save(user_id, name, prompt)
    if replaced:
        return gettext("Replaced the prompt {name}. Draw it with `/prompt use`.", name=shown(name))
    return gettext("Kept the prompt {name}. Draw it with `/prompt use`.", name=shown(name))
