"""The operator's certificate for signing pictures: making a self-signed chain, and reading one.

A folder holds ``chain.pem`` (the signer's certificate, then its issuer's) and ``key.pem``. Needs the extra
``provenance``. The certificate profile is that of C2PA 2.1, section 14.5.1.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from photomaker_core.errors import UserError

if TYPE_CHECKING:
    from cryptography import x509

CHAIN_FILE: Final = "chain.pem"
KEY_FILE: Final = "key.pem"
LONGEST_NAME: Final = 64
_VALID: Final = timedelta(days=2 * 365)
_ISSUER_VALID: Final = timedelta(days=10 * 365)


class CertificateError(UserError):
    """The signing certificate or its key is missing, broken, or cannot be written. Read by the operator."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A signer's certificate chain and key, in PEM."""

    chain: bytes
    key: bytes
    signer: str
    begins: datetime
    expires: datetime

    def __repr__(self) -> str:
        return f"Certificate(signer={self.signer!r}, expires={self.expires:%Y-%m-%d})"

    def is_current(self, now: datetime | None = None) -> bool:
        return self.begins <= (now or datetime.now(UTC)) < self.expires


def make_certificate(folder: Path, operator: str, now: datetime | None = None) -> Certificate:
    """Write a new self-signed chain for ``operator`` into ``folder``, valid for two years; the key with mode 0600.

    The issuer's key is thrown away: nothing else can be signed with it. Raises :class:`CertificateError` where one of
    the files is there already, nothing is ever overwritten.
    """
    operator = operator.strip()
    if not 0 < len(operator) <= LONGEST_NAME or not operator.isprintable():
        raise CertificateError(f"The operator's name has 1 to {LONGEST_NAME} printable characters.")
    for name in (CHAIN_FILE, KEY_FILE):
        if (folder / name).exists():
            raise CertificateError("{path} is there already and is not overwritten.", path=str(folder / name))
    chain, key = _new_chain(operator, now or datetime.now(UTC))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_new(folder / KEY_FILE, key, 0o600)
        _write_new(folder / CHAIN_FILE, chain, 0o644)
    except OSError as error:
        raise CertificateError(
            "{path} cannot be written: {reason}.", path=str(folder), reason=error.strerror
        ) from error
    return read_certificate(folder)


def read_certificate(folder: Path) -> Certificate:
    """Read the chain and the key in ``folder``, also an expired one.

    Raises :class:`CertificateError` where a file is missing, is no PEM, or the key is not the certificate's.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise _missing_extra() from error
    try:
        chain, key = (folder / CHAIN_FILE).read_bytes(), (folder / KEY_FILE).read_bytes()
    except OSError as error:
        raise CertificateError("{path}: {reason}.", path=error.filename, reason=error.strerror) from error
    try:
        certificate = x509.load_pem_x509_certificates(chain)[0]
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError, IndexError) as error:
        # The library's own words are left out: they could quote the key.
        raise CertificateError("{path} holds no certificate and key in PEM.", path=str(folder)) from error
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise CertificateError("The key in {path} is not of the curve P-256.", path=str(folder))
    if private.public_key() != certificate.public_key():
        raise CertificateError("The key in {path} is not that of the certificate beside it.", path=str(folder))
    return Certificate(
        chain,
        key,
        _common_name(certificate),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )


def _missing_extra() -> CertificateError:
    return CertificateError('Signing needs more packages: pip install "photomaker-bot[provenance]"')


def _common_name(certificate: x509.Certificate) -> str:
    from cryptography.x509.oid import NameOID

    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else certificate.subject.rfc4514_string()


def _new_chain(operator: str, now: datetime) -> tuple[bytes, bytes]:
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    except ImportError as error:
        raise _missing_extra() from error

    def name(common: str) -> x509.Name:
        return x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, operator), x509.NameAttribute(NameOID.COMMON_NAME, common)]
        )

    def usage(*, signs_certificates: bool) -> x509.KeyUsage:
        return x509.KeyUsage(
            digital_signature=not signs_certificates,
            key_cert_sign=signs_certificates,
            crl_sign=signs_certificates,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )

    issuer_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer_name = name("Self-signed issuer")
    issuer_id = x509.SubjectKeyIdentifier.from_public_key(issuer_key.public_key())
    begins = now - timedelta(hours=1)

    def builder(subject: x509.Name, valid: timedelta) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer_name)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(begins + valid)
        )

    issuer = (
        builder(issuer_name, _ISSUER_VALID)
        .public_key(issuer_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage(signs_certificates=True), critical=True)
        .add_extension(issuer_id, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    leaf = (
        builder(name(operator), _VALID)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    chain = leaf.public_bytes(pem) + issuer.public_bytes(pem)
    return chain, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file that must not exist yet; it has its mode before it has content."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
