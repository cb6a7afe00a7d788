"""The marks that drawn pictures get by the operator's settings. Read once, when the bot opens."""

from __future__ import annotations

import logging
from typing import Final

from bot.config import Settings
from photomaker_core.provenance.certificates import Certificate, CertificateError, read_certificate
from photomaker_core.provenance.marking import Marking
from photomaker_core.provenance.watermark import tag_of

log = logging.getLogger(__name__)

SOFTWARE: Final = "photomaker-bot"


def marking_of(settings: Settings) -> Marking:
    """Read the marks that the settings ask for; a certificate that cannot be used is logged and left out."""
    return Marking(
        SOFTWARE,
        tag=tag_of(settings.provenance_operator) if settings.provenance_watermark else None,
        certificate=_certificate(settings),
        label=settings.provenance_label,
        has_source_type=settings.provenance_source_type,
    )


def _certificate(settings: Settings) -> Certificate | None:
    if settings.provenance_certificate is None:
        return None
    try:
        return read_certificate(settings.provenance_certificate.expanduser())
    except CertificateError as error:
        log.error("pictures go unsigned: %s", error)
        return None
