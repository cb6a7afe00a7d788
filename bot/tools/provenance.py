"""The subcommands ``photomaker-bot provenance init`` and ``verify``."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from photomaker_core.provenance.inspection import Inspection
    from photomaker_core.provenance.watermark import Reading

_DEFAULT_FOLDER: Final = Path("data/provenance")
_UNPRINTABLE: Final = re.compile(r"[^\w .,:;()/+&'@-]")
_WORTH: Final = """\
The certificate is self-signed: its issuer is on no trust list. Whoever verifies a picture sees that it was not changed
since it was signed with this key, and the name that you gave yourself; nobody vouches for that name. For a signature
that others trust, get a certificate from an issuer on the C2PA trust list and put it into the same two files.
Keep key.pem secret; it is not in the database's backups. To use it: PROVENANCE_CERTIFICATE={folder}"""


def add_commands(commands: argparse._SubParsersAction[Any]) -> None:
    """Register the subcommands."""
    provenance = commands.add_parser("provenance", help="certificates for signing pictures")
    actions = provenance.add_subparsers(required=True, metavar="ACTION")
    init = actions.add_parser("init", help="make a self-signed certificate")
    init.add_argument("--operator", required=True, metavar="NAME", help="who signs; everybody can read it")
    init.add_argument(
        "--folder", type=Path, default=_DEFAULT_FOLDER, help=f"where it goes (default: {_DEFAULT_FOLDER})"
    )
    init.set_defaults(command=_init)
    verify = commands.add_parser("verify", help="say what marks of origin a picture carries")
    verify.add_argument("file", type=Path, nargs="+", metavar="FILE", help="a PNG, JPEG or WebP picture")
    verify.set_defaults(command=_verify)


def _init(options: argparse.Namespace) -> int:
    from photomaker_core.provenance.certificates import make_certificate

    certificate = make_certificate(options.folder.expanduser(), options.operator)
    print(f"Written: {options.folder}/chain.pem and key.pem, valid until {certificate.expires:%Y-%m-%d}.")
    print(_WORTH.format(folder=options.folder))
    return 0


def _verify(options: argparse.Namespace) -> int:
    from bot.config import load_settings
    from photomaker_core.errors import PhotoError, UserError
    from photomaker_core.provenance.certificates import CertificateError, read_certificate
    from photomaker_core.provenance.inspection import inspect_picture
    from photomaker_core.provenance.watermark import tag_of

    settings = load_settings()
    own = {tag_of(name): name for name in ("photomaker", settings.provenance_operator)}
    trusted = None
    if settings.provenance_certificate is not None:
        try:
            trusted = read_certificate(settings.provenance_certificate.expanduser()).chain
        except CertificateError as error:
            print(f"Your own certificate cannot be read, so its signatures are not recognised: {error}")
    failures: list[UserError] = []
    for path in options.file:
        try:
            found = inspect_picture(path, trusted)
        except PhotoError as error:
            failures.append(error)
            continue
        print(f"{path}\n" + "\n".join(f"  {line}" for line in _lines(found, own)))
    if failures:
        raise UserError("{sentences}", sentences=" ".join(map(str, failures)))
    return 0


def _lines(found: Inspection, own: dict[int, str]) -> list[str]:
    from photomaker_core.provenance.manifest import Validity

    manifest = found.manifest
    signer, maker = _printable(manifest.signer), _printable(manifest.made_by)
    codes = f" ({', '.join(map(_printable, manifest.codes))})" if manifest.codes else ""
    says = {
        Validity.ABSENT: "none",
        Validity.TRUSTED: f"valid: signed with your certificate by “{signer}”, made by {maker}",
        Validity.VALID: f"intact: signed by “{signer}”, who is on no trust list known here; made by {maker}",
        Validity.TAMPERED: f"TAMPERED: the file was changed after “{signer}” signed it",
        Validity.EXPIRED: f"expired: the certificate of “{signer}” is no longer valid",
        Validity.INVALID: f"invalid{codes}",
        Validity.UNREADABLE: f"cannot be read{codes}",
        Validity.UNCHECKED: 'not checked: pip install "photomaker-bot[provenance]"',
    }[manifest.validity]
    return [
        f"C2PA manifest: {says}",
        f"source type: {found.source_type or 'none'}",
        f"watermark: {_watermark(found.watermark, own)}",
    ]


def _watermark(reading: Reading | None, own: dict[int, str]) -> str:
    if reading is None:
        return "none found"
    name = f" ({own[reading.tag]})" if reading.tag in own else " (not this bot's)"
    return (
        f"tag {reading.tag:08x}{name}; {reading.agreement:.0%} of its bits read right before correction, "
        f"found {reading.sync:.0f} standard deviations above chance"
    )


def _printable(text: str | None) -> str:
    """A name from a file that anybody may have made, fit for a terminal."""
    return _UNPRINTABLE.sub("?", text or "nobody named")[:100]
