"""Everything that is stored about a member as a file, and the numbers of it as a line. Called by /privacy."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict
from datetime import datetime

from bot.i18n.catalogue import gettext, ngettext
from storage import Overview, UserData


def packed(data: UserData) -> bytes:
    """A zip file: ``data.json``, the ID photos, and the pictures where they are kept. Slow: keep it off the loop."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        content = {
            "identities": [asdict(one) for one in data.identities],
            "consents": [asdict(one) for one in data.consents],
            "jobs": [asdict(one) for one in data.jobs],
            "shares": {identity: [asdict(one) for one in shares] for identity, shares in data.shares.items()},
            "requests": [asdict(one) for one in data.requests],
            "opted_out_at": data.opted_out_at,
            "face_registered_at": data.face.registered_at if data.face else None,
            "prompts": [asdict(one) for one in data.prompts],
            "preferences": asdict(data.preferences),
            "results": [
                {"job_id": one.job_id, "position": one.position, "seed": one.seed, "is_spoiler": one.is_spoiler}
                for one in data.results
            ],
        }
        archive.writestr("data.json", json.dumps(content, indent=2, ensure_ascii=False, default=_as_text))
        for identity, photos in data.photos.items():
            for number, photo in enumerate(photos, start=1):
                archive.writestr(f"identity-{identity}/photo-{number}.jpg", photo)
        for one in data.results:
            if one.thumbnail is not None:
                archive.writestr(f"thumbnails/{one.job_id}-{one.position + 1}.jpg", one.thumbnail)
            if one.picture is not None:
                archive.writestr(f"pictures/{one.job_id}-{one.position + 1}", one.picture)
    return buffer.getvalue()


def summary(stored: Overview) -> str:
    """The numbers of what is stored; of what few members have, only what there is."""
    parts = [
        ngettext("{number} identity", "{number} identities", stored.identities),
        ngettext("{number} photo", "{number} photos", stored.photos),
        ngettext("{number} job", "{number} jobs", stored.jobs),
        ngettext("{number} prompt", "{number} prompts", stored.prompts),
    ]
    if stored.requests:
        parts.append(ngettext("{number} request to be drawn", "{number} requests to be drawn", stored.requests))
    if stored.has_opted_out:
        parts.append(gettext("your wish not to be asked"))
    if stored.has_face:
        parts.append(gettext("your face, as numbers"))
    return ", ".join(parts)


def _as_text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in an export")
