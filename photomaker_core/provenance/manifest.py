"""C2PA manifests: signing a picture file, and reading what a file's manifest is worth.

Needs the extra ``provenance`` (``c2pa-python``). Nothing here uses the network: no time stamps, no remote manifests.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from photomaker_core.errors import UserError
from photomaker_core.provenance.certificates import Certificate
from photomaker_core.provenance.source_type import SOURCE_TYPE_URI

_SETTINGS: Final = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": False},
}
_TAMPERED: Final = ("assertion.dataHash.mismatch", "assertion.hashedURI.mismatch", "claimSignature.mismatch")
_EXPIRED: Final = ("signingCredential.expired", "claimSignature.outsideValidity")


class SigningError(UserError):
    """A picture could not be signed. Read by the operator."""


class Validity(Enum):
    """The outcome of reading a manifest."""

    ABSENT = "absent"
    VALID = "valid"
    TRUSTED = "trusted"
    TAMPERED = "tampered"
    EXPIRED = "expired"
    INVALID = "invalid"
    UNREADABLE = "unreadable"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True)
class ManifestReading:
    """What a file's manifest says. ``VALID`` means unchanged since it was signed, by somebody on no trust list."""

    validity: Validity
    signer: str | None = None
    made_by: str | None = None
    codes: tuple[str, ...] = ()


def can_use_manifests() -> bool:
    """Whether the extra ``provenance`` is installed."""
    return importlib.util.find_spec("c2pa") is not None


def sign(content: bytes, media_type: str, certificate: Certificate, software: str) -> bytes:
    """Add a signed manifest to a PNG, JPEG or WebP file: ``software`` made it, by a trained model.

    Raises :class:`SigningError` where the certificate is out of date or the library refuses. Takes some 20 ms.
    """
    if not certificate.is_current():
        raise SigningError(f"the signing certificate was valid from {certificate.begins} to {certificate.expires}")
    if not can_use_manifests():
        raise SigningError('the extra is missing: pip install "photomaker-bot[provenance]"')
    import c2pa

    definition = {
        "claim_generator_info": [{"name": software}],
        "format": media_type,
        "assertions": [
            {
                "label": "c2pa.actions",
                "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE_URI}]},
            }
        ],
    }
    target = io.BytesIO()
    try:
        with _context() as context, c2pa.Builder(definition, context=context) as builder:
            info = c2pa.C2paSignerInfo(b"es256", certificate.chain, certificate.key, None)
            with c2pa.Signer.from_info(info) as signer:
                builder.sign(signer, media_type, io.BytesIO(content), target)
    except c2pa.C2paError as error:
        raise SigningError(f"the picture could not be signed: {error}") from error
    return target.getvalue()


def read_manifest(content: bytes, media_type: str, trusted: bytes | None = None) -> ManifestReading:
    """Read and check a file's manifest. ``trusted`` holds certificates, in PEM, whose signatures count as trusted."""
    if not can_use_manifests():
        return ManifestReading(Validity.UNCHECKED)
    import c2pa

    try:
        with _context(trusted) as context:
            reader = c2pa.Reader.try_create(media_type, io.BytesIO(content), context=context)
            if reader is None:
                return ManifestReading(Validity.ABSENT)
            with reader:
                return _reading(json.loads(reader.json()))
    except c2pa.C2paError as error:
        return ManifestReading(Validity.UNREADABLE, codes=(" ".join(str(error).split())[:200],))


@contextlib.contextmanager
def _context(trusted: bytes | None = None) -> Iterator[Any]:
    import c2pa

    settings: dict[str, Any] = dict(_SETTINGS)
    if trusted is not None:
        settings["trust"] = {"user_anchors": trusted.decode()}
    with c2pa.Context.from_dict(settings) as context:
        yield context


def _reading(store: dict[str, Any]) -> ManifestReading:
    manifest = store.get("manifests", {}).get(store.get("active_manifest"), {})
    results = store.get("validation_results", {}).get("activeManifest", {})
    codes = tuple(sorted({one["code"] for one in results.get("failure", [])}))
    signature = manifest.get("signature_info", {})
    makers = manifest.get("claim_generator_info") or [{}]
    state = store.get("validation_state")
    if any(code in codes for code in _TAMPERED):
        validity = Validity.TAMPERED
    elif any(code in codes for code in _EXPIRED):
        validity = Validity.EXPIRED
    elif state in ("Valid", "Trusted"):
        validity = Validity(state.lower())
    else:
        validity = Validity.INVALID
    return ManifestReading(
        validity, signature.get("common_name") or signature.get("issuer"), makers[0].get("name"), codes
    )
