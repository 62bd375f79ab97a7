"""TLS for outgoing mail connections: settings of an account, contexts built from them, errors a person can act on."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType

from mailquay.errors import InvalidRequest, Unavailable

_VERSIONS: Mapping[str, ssl.TLSVersion] = MappingProxyType(
    {
        "TLSv1": ssl.TLSVersion.TLSv1,
        "TLSv1.0": ssl.TLSVersion.TLSv1,
        "TLSv1.1": ssl.TLSVersion.TLSv1_1,
        "TLSv1.2": ssl.TLSVersion.TLSv1_2,
        "TLSv1.3": ssl.TLSVersion.TLSv1_3,
    }
)

# OpenSSL's X509_V_ERR_* numbers under the names that mail clients show for them.
_CERTIFICATE_CODES: Mapping[int, str] = MappingProxyType(
    {
        2: "UNABLE_TO_GET_ISSUER_CERT",
        9: "CERT_NOT_YET_VALID",
        10: "CERT_HAS_EXPIRED",
        18: "DEPTH_ZERO_SELF_SIGNED_CERT",
        19: "SELF_SIGNED_CERT_IN_CHAIN",
        20: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
        21: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
        23: "CERT_REVOKED",
        62: "ERR_TLS_CERT_ALTNAME_INVALID",
        64: "ERR_TLS_CERT_ALTNAME_INVALID",
    }
)
_OTHER_CERTIFICATE_CODE = "CERT_INVALID"
_CONTEXTS_KEPT = 64

CERTIFICATE_CODES = frozenset(_CERTIFICATE_CODES.values()) | {_OTHER_CERTIFICATE_CODE}
"""Every `Unavailable.code` that means: the connection stands, its certificate is not acceptable."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """What an account says about TLS; the defaults verify the certificate and take TLS 1.2 or newer.

    `ca` holds PEM texts that replace the system's certificate authorities; `servername` is the name that is sent
    (SNI, RFC 6066 §3) and verified instead of the host connected to.
    """

    reject_unauthorized: bool = True
    min_version: str = "TLSv1.2"
    max_version: str | None = None
    ciphers: str | None = None
    ca: tuple[str, ...] = ()
    servername: str | None = None

    @classmethod
    def from_mapping(cls, options: Mapping[str, object] | None, defaults: TlsSettings | None = None) -> TlsSettings:
        """Read an account's `tls` object over `defaults`; keys that say nothing to us are left alone.

        Raises InvalidRequest that names the key when a value has the wrong type.
        """
        settings = defaults or cls()
        if not options:
            return settings
        reject = options.get("rejectUnauthorized")
        if reject is not None and not isinstance(reject, bool):
            raise InvalidRequest("tls.rejectUnauthorized must be true or false")
        return replace(
            settings,
            reject_unauthorized=settings.reject_unauthorized if reject is None else reject,
            min_version=_text(options, "minVersion") or settings.min_version,
            max_version=_text(options, "maxVersion") or settings.max_version,
            ciphers=_text(options, "ciphers") or settings.ciphers,
            ca=_texts(options, "ca") or settings.ca,
            servername=_text(options, "servername") or settings.servername,
        )


def _text(options: Mapping[str, object], key: str) -> str | None:
    value = options.get(key)
    if value is not None and not isinstance(value, str):
        raise InvalidRequest(f"tls.{key} must be a string")
    return value


def _texts(options: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = options.get(key)
    if value is None:
        return ()
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not all(isinstance(item, str) for item in values):
        raise InvalidRequest(f"tls.{key} must be PEM text or a list of PEM texts")
    return tuple(values)


def client_context(settings: TlsSettings) -> ssl.SSLContext:
    """The client context for `settings`; equal settings share one, since loading authorities costs milliseconds.

    Raises InvalidRequest that names the option when OpenSSL does not accept it.
    """
    return _build_context(replace(settings, servername=None))


@lru_cache(maxsize=_CONTEXTS_KEPT)
def _build_context(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    minimum = _version(settings.min_version, "minVersion")
    context.minimum_version = minimum
    if settings.max_version:
        context.maximum_version = _version(settings.max_version, "maxVersion")
    # OpenSSL 3 refuses TLS below 1.2 at its default security level, whatever the version bounds say.
    ciphers = settings.ciphers or ("DEFAULT@SECLEVEL=0" if minimum < ssl.TLSVersion.TLSv1_2 else None)
    if ciphers:
        try:
            context.set_ciphers(ciphers)
        except ssl.SSLError as error:
            raise InvalidRequest("tls.ciphers is not an OpenSSL cipher list") from error
    if not settings.reject_unauthorized:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.ca:
        try:
            context.load_verify_locations(cadata="\n".join(settings.ca))
        except (ssl.SSLError, ValueError) as error:
            raise InvalidRequest("tls.ca is not PEM text of certificates") from error
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


def _version(name: str, key: str) -> ssl.TLSVersion:
    version = _VERSIONS.get(name)
    if version is None:
        raise InvalidRequest(f"tls.{key} must be one of {', '.join(sorted(_VERSIONS))}")
    return version


def tls_failure(error: Exception, peer: str) -> Unavailable:
    """Translate a failed handshake with `peer` into one sentence, with the option that would loosen the rule.

    The code is a member of CERTIFICATE_CODES when only the certificate was at fault, else `ETLS`.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        code = _CERTIFICATE_CODES.get(error.verify_code, _OTHER_CERTIFICATE_CODE)
        reason = error.verify_message or "verification failed"
        message = (
            f"The certificate of {peer} was not accepted: {reason.rstrip('.')}. "
            "Put its authority into tls.ca, or set tls.rejectUnauthorized to false to skip the check"
        )
        return Unavailable(message, code=code)
    reason = _reason(error)
    return Unavailable(f"TLS with {peer} could not be set up: {reason}{_remedy(reason)}", code="ETLS")


def no_tls_at_once(peer: str) -> Unavailable:
    """The error for a peer that spoke in plaintext where TLS was to begin with the first byte."""
    return Unavailable(f"{peer} does not speak TLS at once: set secure to false to use STARTTLS there", code="ETLS")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    if isinstance(error, ConnectionError):
        return "the server closed the connection during the handshake"
    return re.sub(r"\s+", " ", str(error))[:200] or type(error).__name__


def _remedy(reason: str) -> str:
    if "unsupported protocol" in reason or "protocol version" in reason:
        return ". The server offers other TLS versions than allowed: tls.minVersion and tls.maxVersion set the bounds"
    if "wrong version number" in reason or "record layer failure" in reason:
        return ". The port does not speak TLS at once: set secure to false to use STARTTLS there"
    if "too small" in reason or "no cipher" in reason or "handshake failure" in reason or "weak" in reason:
        return '. tls.ciphers "DEFAULT@SECLEVEL=0" allows old algorithms and short keys'
    return ""
