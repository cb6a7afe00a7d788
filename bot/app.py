"""The bot itself: discord.py's client with the database, the GPU thread, and the services, views and commands."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future

import discord
from discord import app_commands
from discord.ext import commands

from bot.cogs.account import AccountCommands
from bot.cogs.admin import AdminCommands
from bot.cogs.edit import EditCommands
from bot.cogs.help import HelpCommands, HelpView
from bot.cogs.identity import IdentityCommands
from bot.cogs.imagine import ImagineCommands
from bot.cogs.mix import MixCommands
from bot.cogs.options import Suggestions
from bot.cogs.privacy import ConfirmView, PrivacyCommands
from bot.cogs.prompts import PromptCommands
from bot.cogs.style import StyleCommands
from bot.cogs.together import TogetherCommands
from bot.config import Settings
from bot.domain.draw_request import Limits, Turbo
from bot.i18n.catalogue import CommandTranslator
from bot.presentation.errors import CommandTree
from bot.services.activity import ActivityService
from bot.services.admission import AdmissionPolicy
from bot.services.draw_contexts import DrawContextService
from bot.services.drawing import DrawingService
from bot.services.face_opt_outs import FaceOptOutService
from bot.services.identities import MAX_PHOTOS, IdentityService
from bot.services.identity_requests import IdentityRequestService
from bot.services.jobs import Controls, JobService
from bot.services.memberships import MembershipService
from bot.services.model_loading import model_loader
from bot.services.picture_check import PictureCheck, load_classifier
from bot.services.provenance import marking_of
from bot.services.reports import Reports
from bot.services.retention import RetentionService
from bot.services.style_samples import StyleSamples
from bot.services.upload_allowance import UploadAllowance
from bot.views.activity_page import ActivityDeleteButton, ActivityPageButton
from bot.views.history_page import HistoryPageButton
from bot.views.identity_forms import SaveAsIdentity
from bot.views.identity_pages import IdentityPageButton
from bot.views.identity_requests import RequestButton
from bot.views.job_controls import done_controls, listening_views, running_controls
from bot.views.job_forms import JobServices
from bot.workers.gpu_process import GpuProcess
from bot.workers.gpu_thread import GpuThread
from bot.workers.model_worker import LoadedModel, ModelWorker
from photomaker_core.errors import UserError
from photomaker_core.loading.photomaker import PhotoMaker
from photomaker_core.sampling.schedulers import scheduler_for_distilled
from storage import (
    ActivityStore,
    Database,
    DrawContextStore,
    FaceOptOutStore,
    IdentityRequestStore,
    IdentityStore,
    JobLimits,
    JobStore,
    OpenJobStore,
    PhotoStore,
    PreferenceStore,
    PrivacyStore,
    PromptStore,
    RetentionStore,
    ServerStore,
    SharingStore,
    StorageLimits,
)

log = logging.getLogger(__name__)


class PhotoMakerBot(commands.Bot):
    """One bot process. The database and the model are opened by ``setup_hook`` and closed by ``close``."""

    def __init__(self, settings: Settings, load: Callable[[], PhotoMaker] | None = None) -> None:
        super().__init__(
            command_prefix=commands.when_mentioned,
            intents=discord.Intents(guilds=True),
            help_command=None,
            tree_cls=CommandTree,
            allowed_mentions=discord.AllowedMentions.none(),
            allowed_installs=app_commands.AppInstallationType(guild=True, user=True),
            allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=True),
        )
        self.settings = settings
        self.limits = Limits(
            settings.max_steps,
            settings.max_pictures,
            settings.default_steps,
            settings.default_guidance,
            tuple(settings.photomaker_style_loras),
            Turbo(settings.turbo_steps, scheduler_for_distilled(settings.turbo_scheduler))
            if settings.photomaker_turbo_lora
            else None,
        )
        worker = GpuProcess if settings.photomaker_worker == "process" else GpuThread
        load = load or model_loader(settings, compiled=settings.photomaker_compiled)
        self.gpu: ModelWorker = worker(load, settings.max_batch)
        self.database: Database
        self.identities: IdentityService
        self.jobs: JobService
        self.job_store: JobStore
        self.identity_requests: IdentityRequestService
        self.identity_activity: ActivityService
        self.drawing: DrawingService
        self.retention: RetentionService
        self.faces: FaceOptOutService
        self.resumed = asyncio.Event()

    async def setup_hook(self) -> None:
        await self.open()
        await self.jobs.restore()
        self.retention.start()
        self.faces.start()
        await self.tree.set_translator(CommandTranslator())
        self.gpu.start()
        if self.settings.discord_guild_id:
            guild = discord.Object(self.settings.discord_guild_id)
            self.tree.copy_global_to(guild=guild)
            await self.tree.sync(guild=guild)
        else:
            await self.tree.sync()
        self.gpu.loaded.add_done_callback(self._on_loaded)

    async def open(self) -> None:
        """Open the database and put the commands on the tree: all that needs neither Discord nor the model."""
        classifier = await load_classifier(self.settings.explicit_threshold)
        self.database = await Database.open(self.settings.database_url, exclusive=True)
        stored = StorageLimits(self.settings.max_identities, MAX_PHOTOS, self.settings.max_stored_mib * 2**20)
        identities, photos = IdentityStore(self.database, stored), PhotoStore(self.database, stored)
        servers, preferences = ServerStore(self.database), PreferenceStore(self.database)
        prompts, privacy = PromptStore(self.database), PrivacyStore(self.database)
        uploads = UploadAllowance(servers, self.settings.max_uploads_an_hour or None)
        self.faces = FaceOptOutService(FaceOptOutStore(self.database))
        self.identities = IdentityService(identities, photos, preferences, self.gpu, uploads, self.faces)
        self.job_store = JobStore(self.database)
        self.identity_requests = IdentityRequestService(self, IdentityRequestStore(self.database))
        self.identity_activity = ActivityService(self, ActivityStore(self.database))
        marking = await asyncio.to_thread(marking_of, self.settings)
        check = PictureCheck(
            self,
            servers,
            marking,
            classifier,
            self.settings.explicit_threshold,
            self.settings.explicit_in_direct_messages,
        )
        self.retention = RetentionService(RetentionStore(self.database), self.settings.retention)
        contexts = DrawContextService(DrawContextStore(self.database), MembershipService(self))
        self.jobs = JobService(
            self,
            self.job_store,
            self.gpu,
            self.identities,
            contexts,
            Controls(running=running_controls, done=done_controls),
            marking,
            check,
            keep_pictures=self.settings.keep_pictures,
            role_weights=self.settings.role_weights,
        )
        admission = AdmissionPolicy(
            JobLimits(
                self.settings.max_open_jobs or None,
                self.settings.max_pictures_a_day or None,
                self.settings.max_server_open_jobs or None,
                self.settings.max_server_pictures_a_day or None,
                60.0 * self.settings.max_wait_minutes or None,
            )
        )
        self.drawing = drawing = DrawingService(contexts, admission, self.jobs, self.limits)
        suggestions = Suggestions(identities, drawing, servers, self.limits.loras)
        samples = StyleSamples(self.gpu, check, self.limits.default_steps, self.limits.default_guidance)
        services = JobServices(drawing, self.jobs, self.job_store, privacy, prompts, Reports(servers), check)
        for view in (
            *listening_views(services),
            ConfirmView(privacy, self.jobs),
            HelpView(drawing, self.identities),
        ):
            self.add_view(view)
        self.add_dynamic_items(
            ActivityDeleteButton, ActivityPageButton, HistoryPageButton, IdentityPageButton, RequestButton
        )
        for cog in (
            IdentityCommands(
                self.identities,
                drawing,
                suggestions,
                identities,
                photos,
                SharingStore(self.database),
                preferences,
                self.identity_requests,
                self.identity_activity,
            ),
            SaveAsIdentity(self.identities, self.identity_requests.store, self.tree),
            ImagineCommands(drawing, suggestions),
            MixCommands(drawing, suggestions),
            TogetherCommands(drawing, suggestions),
            EditCommands(drawing, suggestions),
            PromptCommands(prompts, drawing, suggestions),
            AccountCommands(OpenJobStore(self.database), self.job_store, self.jobs, preferences, drawing, self.limits),
            StyleCommands(samples, suggestions),
            PrivacyCommands(
                privacy,
                self.jobs,
                self.identity_requests.store,
                self.identities,
                self.faces,
                self.settings.retention,
            ),
            AdminCommands(servers, self.job_store, self.jobs, admission, self.limits, check),
            HelpCommands(drawing, self.identities, self.limits),
        ):
            await self.add_cog(cog)

    def _on_loaded(self, _loaded: Future[LoadedModel]) -> None:
        if not self.is_closed():
            self.loop.call_soon_threadsafe(self._start_resuming)

    def _start_resuming(self) -> None:
        self._resuming = self.loop.create_task(self._resume())

    async def _resume(self) -> None:
        error = self.gpu.loaded.exception()
        if error is None:
            model = self.gpu.loaded.result()
            log.info(
                "PhotoMaker %s is ready on %s, memory plan %s",
                model.version.upper(),
                model.device,
                model.plan,
            )
        else:
            trace = None if isinstance(error, UserError) else error
            log.error("the model could not be loaded: %s", error, exc_info=trace)
        await self.jobs.resume()
        self.resumed.set()

    async def drain(self) -> None:
        """Begin no job any more, and wait for those that are being drawn as long as the operator allows."""
        if hasattr(self, "jobs"):
            await self.jobs.drain(self.settings.stop_grace_seconds)

    async def close(self) -> None:
        if hasattr(self, "jobs"):
            await self.jobs.close()
        await super().close()
        if self.gpu.is_running:
            await asyncio.to_thread(self.gpu.stop)
        if hasattr(self, "database"):
            await self.retention.close()
            await self.faces.close()
            await self.database.close()
