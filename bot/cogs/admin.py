"""/admin: what a server's moderators allow, and what the bot's operator can do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

import discord
from discord import app_commands
from discord.ext import commands

from bot.cogs.options import matching, shared_options
from bot.domain.draw_request import Limits
from bot.domain.explicit_pictures import Treatment
from bot.domain.member_text import cleaned, escaped, folded
from bot.domain.stored_settings import usable_defaults
from bot.i18n.catalogue import gettext, ngettext
from bot.presentation.messages import duration, enumeration, listing
from bot.services.admission import AdmissionPolicy
from bot.services.jobs import JobService
from bot.services.picture_check import PictureCheck
from photomaker_core.errors import SettingsError, UserError
from storage import JobStore, Preferences, Rules, ServerStore

T = TypeVar("T")
_MAX_WORDS: Final = 200
_MAX_WORD_CHARACTERS: Final = 60
_SHOWN_CHARACTERS: Final = 300
_BOTS_LIMIT: Final = "as many as the bot allows"


@app_commands.guild_only()
@app_commands.allowed_contexts(guilds=True, dms=False, private_channels=False)
@app_commands.allowed_installs(guilds=True, users=False)
@app_commands.default_permissions(manage_guild=True)
class AdminCommands(commands.GroupCog, group_name="admin", group_description="Rules of this server"):
    """For members who may manage the server; Discord hides it from others, and each call is checked anew."""

    def __init__(
        self,
        servers: ServerStore,
        job_store: JobStore,
        jobs: JobService,
        admission: AdmissionPolicy,
        limits: Limits,
        check: PictureCheck,
    ) -> None:
        super().__init__()
        self._check = check
        self._servers, self._job_store, self._jobs = servers, job_store, jobs
        self._admission, self._limits = admission, limits

    async def interaction_check(self, interaction: discord.Interaction, /) -> bool:
        return interaction.permissions.manage_guild

    @app_commands.command(description="Show the rules of this server")
    async def show(self, interaction: discord.Interaction) -> None:
        await interaction.response.defer(ephemeral=True)
        await self._show(interaction, await self._servers.rules(_server_of(interaction)))

    @app_commands.command(description="Allow drawing in this channel only, or in some; without a channel, everywhere")
    @app_commands.describe(channel="A channel to allow, or to forbid again when it is allowed already")
    async def channels(self, interaction: discord.Interaction, channel: discord.TextChannel | None = None) -> None:
        await self._change(
            interaction,
            lambda rules: replace(rules, channels=() if channel is None else _toggled(rules.channels, channel.id)),
        )

    @app_commands.command(description="Block a word in prompts, or allow it again")
    @app_commands.describe(word="A word or a phrase; it is matched whole, in any case")
    async def word(self, interaction: discord.Interaction, word: str) -> None:
        word = cleaned(word).casefold()
        if not 1 <= len(word) <= _MAX_WORD_CHARACTERS:
            raise SettingsError("A word has between 1 and {most} characters.", most=_MAX_WORD_CHARACTERS)

        def toggled(rules: Rules) -> Rules:
            same = next((one for one in rules.blocked_words if folded(one) == folded(word)), word)
            words = _toggled(rules.blocked_words, same)
            if len(words) > _MAX_WORDS:
                raise SettingsError("{most} words are blocked, which is the most.", most=_MAX_WORDS)
            return replace(rules, blocked_words=words)

        await self._change(interaction, toggled)

    @app_commands.command(description="How much a member may have drawn; without numbers, as much as the bot allows")
    @app_commands.describe(
        jobs="The most jobs of one member that wait or run",
        role="The jobs are for members with this role only; the largest number of their roles counts",
        pictures="The most pictures of one member in 24 hours",
        server_jobs="The most jobs of all members that wait or run",
        server_pictures="The most pictures of all members in 24 hours",
        wait="The longest wait of a new job, in minutes",
        uploads="The most photos that one member may hand in within an hour",
    )
    async def limit(
        self,
        interaction: discord.Interaction,
        jobs: app_commands.Range[int, 1, 100] | None = None,
        role: discord.Role | None = None,
        pictures: app_commands.Range[int, 1, 10_000] | None = None,
        server_jobs: app_commands.Range[int, 1, 1000] | None = None,
        server_pictures: app_commands.Range[int, 1, 100_000] | None = None,
        wait: app_commands.Range[int, 1, 1440] | None = None,
        uploads: app_commands.Range[int, 1, 1000] | None = None,
    ) -> None:
        everybodys: dict[str, Any] = {
            "pictures_a_day": pictures,
            "server_jobs": server_jobs,
            "server_pictures_a_day": server_pictures,
            "wait_minutes": wait,
            "uploads_an_hour": uploads,
        }
        given = {name: value for name, value in everybodys.items() if value is not None}
        if role is not None and given:
            raise SettingsError("Only the jobs can be limited by role. Leave the role out for the other numbers.")

        def limited(rules: Rules) -> Rules:
            if role is None:
                if jobs is None and not given:
                    return replace(rules, open_jobs=None, **everybodys)
                return replace(rules, open_jobs=jobs or rules.open_jobs, **given)
            others = {key: value for key, value in rules.role_jobs.items() if key != str(role.id)}
            return replace(rules, role_jobs=others if jobs is None else {**others, str(role.id): jobs})

        await self._change(interaction, limited)

    @app_commands.command(description="Forbid a style LoRA on this server, or allow it again")
    @app_commands.describe(name="Which LoRA")
    async def lora(self, interaction: discord.Interaction, name: str) -> None:
        def toggled(rules: Rules) -> Rules:
            if name not in self._limits.loras and name not in rules.forbidden_loras:
                raise SettingsError("Unknown LoRA “{name}”. /style shows what there is.", name=name)
            return replace(rules, forbidden_loras=_toggled(rules.forbidden_loras, name))

        await self._change(interaction, toggled)

    @lora.autocomplete("name")
    async def _loras(self, interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
        # discord.py asks no cog's check before it suggests.
        return matching(self._limits.loras, current) if await self.interaction_check(interaction) else []

    @app_commands.command(description="What is taken where a member says nothing; without options, the bot's own")
    @shared_options
    async def defaults(
        self,
        interaction: discord.Interaction,
        style: str | None = None,
        aspect: str | None = None,
        quality: str | None = None,
    ) -> None:
        await self._change(interaction, lambda rules: replace(rules, style=style, aspect=aspect, quality=quality))

    @app_commands.command(description="What becomes of explicit pictures; left out, it depends on the channel")
    @app_commands.describe(pictures="Left out: a spoiler in age-restricted channels, refused in all others")
    async def explicit(self, interaction: discord.Interaction, pictures: Treatment | None = None) -> None:
        await self._change(interaction, lambda rules: replace(rules, explicit_pictures=pictures))

    @app_commands.command(description="Where reports of pictures go; without a channel, to the bot's operator only")
    @app_commands.describe(channel="A channel that I can write to")
    async def reports(self, interaction: discord.Interaction, channel: discord.TextChannel | None = None) -> None:
        if channel is not None and interaction.guild is not None:
            allowed = channel.permissions_for(interaction.guild.me)
            if not (allowed.view_channel and allowed.send_messages):
                raise SettingsError(
                    "I may not write in {channel}. Give me the permission first.", channel=channel.mention
                )
        await self._change(interaction, lambda rules: replace(rules, report_channel=channel.id if channel else None))

    @app_commands.command(description="Take no new jobs from this server")
    async def pause(self, interaction: discord.Interaction) -> None:
        await self._change(interaction, lambda rules: replace(rules, is_paused=True))

    @app_commands.command(description="Take jobs from this server again")
    async def resume(self, interaction: discord.Interaction) -> None:
        await self._change(interaction, lambda rules: replace(rules, is_paused=False))

    @app_commands.command(description="How many jobs of this server are stored, and how fast it goes")
    async def stats(self, interaction: discord.Interaction) -> None:
        counts = await self._job_store.counts(_server_of(interaction))
        step_s = self._jobs.throughput.expected_s(1)
        lines = [gettext("No jobs yet.")]
        if counts:
            lines = [gettext("Jobs of this server that are stored, by their state:")]
            lines += [f"{gettext(state)}: {counts[state]}" for state in sorted(counts)]
        if step_s is not None:
            lines.append(gettext("pace: {pace:.1f} steps a second", pace=1 / step_s))
        await interaction.response.send_message("\n".join(lines), ephemeral=True)

    @app_commands.command(description="For the bot's operator: take no new jobs on any server, finish the open ones")
    @app_commands.describe(off="Take new jobs again")
    async def drain(self, interaction: discord.Interaction, off: bool = False) -> None:
        client = interaction.client
        assert isinstance(client, commands.Bot)
        await interaction.response.defer(ephemeral=True)
        if not await client.is_owner(interaction.user):
            raise UserError("Only the bot's operator can do that.")
        self._admission.is_draining = not off
        rest = self._jobs.throughput.expected_s(self._jobs.steps_left)
        told = gettext("I take new jobs again.")
        if not off:
            told = ngettext(
                "I take no new jobs. {number} job is open.",
                "I take no new jobs. {number} jobs are open.",
                self._jobs.open_count,
            )
            if rest and self._jobs.open_count:
                told += f" {gettext('All are ready in about {time}.', time=duration(rest))}"
        await interaction.edit_original_response(content=told)

    async def _change(self, interaction: discord.Interaction, change: Callable[[Rules], Rules]) -> None:
        """Change the rules and show them."""
        await interaction.response.defer(ephemeral=True)
        await self._show(interaction, await self._servers.update(_server_of(interaction), change))

    async def _show(self, interaction: discord.Interaction, rules: Rules) -> None:
        notes = [*usable_defaults(Preferences(), rules, self._limits).notes.values()]
        if not self._check.is_on:
            notes.append(gettext("I cannot tell explicit pictures: the bot’s operator has not installed the check."))
        elif rules.explicit_pictures == "spoiler":
            notes.append(gettext("Discord allows explicit pictures in age-restricted channels only."))
        await interaction.edit_original_response(content=listing([*_shown(rules), *(f"-# {one}" for one in notes)]))


def _server_of(interaction: discord.Interaction) -> int:
    assert interaction.guild_id is not None, "these commands are for servers only"
    return interaction.guild_id


def _toggled(values: tuple[T, ...], value: T) -> tuple[T, ...]:
    return tuple(one for one in values if one != value) if value in values else (*values, value)


def _shown(rules: Rules) -> list[str]:
    return [
        gettext("Drawing is **paused**.") if rules.is_paused else gettext("Drawing is on."),
        gettext("Channels: {channels}", channels=_listed([f"<#{one}>" for one in rules.channels]) or gettext("all")),
        gettext("Open jobs of a member: {number}", number=_jobs_allowed(rules)),
        gettext("Pictures of a member in 24 hours: {number}", number=rules.pictures_a_day or gettext(_BOTS_LIMIT)),
        gettext("Photos of a member in an hour: {number}", number=rules.uploads_an_hour or gettext(_BOTS_LIMIT)),
        gettext("Open jobs of all members: {number}", number=rules.server_jobs or gettext(_BOTS_LIMIT)),
        gettext(
            "Pictures of all members in 24 hours: {number}",
            number=rules.server_pictures_a_day or gettext(_BOTS_LIMIT),
        ),
        gettext("Longest wait in minutes: {number}", number=rules.wait_minutes or gettext(_BOTS_LIMIT)),
        gettext(
            "Explicit pictures: {treatment}",
            treatment=gettext(rules.explicit_pictures)
            if rules.explicit_pictures
            else gettext("refused, and behind a spoiler in age-restricted channels"),
        ),
        gettext(
            "Reports go to: {place}",
            place=f"<#{rules.report_channel}>" if rules.report_channel else gettext("the bot’s operator"),
        ),
        gettext(
            "Where a member says nothing: {settings}",
            settings=", ".join(gettext(one) for one in (rules.style, rules.aspect, rules.quality) if one)
            or gettext("the bot’s own settings"),
        ),
        gettext(
            "Forbidden LoRAs: {names}",
            names=_names(rules.forbidden_loras),
        ),
        gettext(
            "Blocked words: {words}",
            words=_names(rules.blocked_words),
        ),
    ]


def _names(names: Sequence[str]) -> str:
    return _listed([escaped(name) for name in names]) or gettext("none so far")


def _listed(names: Sequence[str]) -> str:
    return enumeration(names, _SHOWN_CHARACTERS)


def _jobs_allowed(rules: Rules) -> str:
    limits = [f"<@&{role}> {jobs}" for role, jobs in rules.role_jobs.items()]
    return _listed([str(rules.open_jobs or gettext(_BOTS_LIMIT)), *limits])
