"""Admission of drawings: what a server's moderators and the bot's operator allow. Called by the drawing service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from bot.domain.draw_request import DrawRequest
from bot.domain.member_text import first_word_in
from bot.domain.minor_protection import check_minors_in
from bot.services.draw_contexts import DrawContext
from photomaker_core.errors import UserError
from storage import JobLimits, Rules

N = TypeVar("N", int, float)


class NotAllowedError(UserError):
    """A rule of this server, or of the bot's operator, is in the way."""


class AdmissionPolicy:
    """Checks a request against the rules of its context. ``is_draining`` lets nothing new in, on any server."""

    def __init__(self, limits: JobLimits) -> None:
        self._limits = limits
        self.is_draining = False

    def check(self, context: DrawContext, request: DrawRequest) -> JobLimits:
        """Return how much the member and the server may have at once and a day, and the longest wait.

        Raises :class:`NotAllowedError` where they may not draw this here and now, :class:`PromptError` for what is
        drawn nowhere.
        """
        check_minors_in(request)
        if self.is_draining:
            raise NotAllowedError("I am about to be restarted and take no new jobs. Please try again in a few minutes.")
        rules = context.rules
        if rules.is_paused:
            raise NotAllowedError("Drawing is paused on this server. Its moderators can resume it.")
        if rules.channels and not context.channel_ids.intersection(rules.channels):
            allowed = ", ".join(f"<#{channel}>" for channel in rules.channels)
            raise NotAllowedError("Drawing is allowed in {channels} only.", channels=allowed)
        for name, _ in request.loras:
            if name in rules.forbidden_loras:
                raise NotAllowedError("The LoRA “{name}” is not allowed on this server.", name=name)
        word = blocked_word(rules, (request.prompt, request.negative or ""))
        if word is not None:
            raise NotAllowedError("“{word}” is not allowed in prompts on this server.", word=word)
        own = self._limits
        wait_s = None if rules.wait_minutes is None else 60.0 * rules.wait_minutes
        return JobLimits(
            open_jobs=stricter(own.open_jobs, rules.most_open_jobs(context.role_ids)),
            pictures_a_day=stricter(own.pictures_a_day, rules.pictures_a_day),
            server_open_jobs=stricter(own.server_open_jobs, rules.server_jobs),
            server_pictures_a_day=stricter(own.server_pictures_a_day, rules.server_pictures_a_day),
            wait_s=stricter(own.wait_s, wait_s),
        )


def blocked_word(rules: Rules, texts: Sequence[str]) -> str | None:
    """The first of the blocked words that occurs as a whole word, however it is spelt, in any of ``texts``."""
    return first_word_in(rules.blocked_words, texts)


def stricter(one: N | None, other: N | None) -> N | None:
    """The stricter of two limits, where ``None`` is no limit."""
    return min((limit for limit in (one, other) if limit is not None), default=None)
