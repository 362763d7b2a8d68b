"""Certificates of a throw-away cluster, and who may do what with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

DAYS = 30
PEM = serialization.Encoding.PEM
KUBECONFIG = """apiVersion: v1
kind: Config
clusters: [{{name: stack, cluster: {{server: "{server}", certificate-authority: {ca}}}}}]
users: [{{name: {name}, user: {{client-certificate: {certificate}, client-key: {key}}}}}]
contexts: [{{name: stack, context: {{cluster: stack, user: {name}}}}}]
current-context: stack
"""


class Authority:
    """Signs for one cluster. Everything it makes lies in `folder`."""

    def __init__(self, folder: Path, server: str) -> None:
        """`server` is the URL that kubeconfigs name."""
        self.folder = folder
        self._server = server
        folder.mkdir(parents=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("nextup-stack", "")
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        made = (
            self._dated(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
        )
        self._write("ca", made.sign(self._key, hashes.SHA256()), self._key)

    def certificate(
        self, name: str, common: str, group: str = "", *, at: Sequence[str] = ()
    ) -> None:
        """`<name>.crt` and `<name>.key` for a server at these names and addresses, or a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        made = self._dated(_name(common, group), key).add_extension(
            x509.ExtendedKeyUsage(both), critical=False
        )
        if at:
            names = x509.SubjectAlternativeName([_place(one) for one in at])
            made = made.add_extension(names, critical=False)
        self._write(name, made.sign(self._key, hashes.SHA256()), key)

    def kubeconfig(self, name: str, common: str, group: str = "") -> Path:
        """`<name>.conf`, with which a client signs in as this user of this group."""
        self.certificate(name, common, group)
        file = self.folder / f"{name}.conf"
        text = KUBECONFIG.format(
            server=self._server,
            ca=self.folder / "ca.crt",
            name=name,
            certificate=self.folder / f"{name}.crt",
            key=self.folder / f"{name}.key",
        )
        file.write_text(text)
        return file

    def token_keys(self) -> None:
        """`sa.key` and `sa.pub`, which tokens of service accounts are signed with."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._write_key("sa", key)
        public = key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        (self.folder / "sa.pub").write_bytes(public)

    def _dated(self, name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=DAYS))
        )

    def _write(
        self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> None:
        (self.folder / f"{name}.crt").write_bytes(certificate.public_bytes(PEM))
        self._write_key(name, key)

    def _write_key(self, name: str, key: CertificateIssuerPrivateKeyTypes) -> None:
        file = self.folder / f"{name}.key"
        file.touch(mode=0o600)
        file.write_bytes(
            key.private_bytes(
                PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )


def _name(common: str, group: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if group:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    return x509.Name(parts)


def _place(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)
