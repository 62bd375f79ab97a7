"""The certificate of the listener: read from its files, and again when they change, as they do when it is renewed."""

from __future__ import annotations

import ssl
from pathlib import Path

import structlog

from mailquay.config import Config
from mailquay.errors import ConfigError

_log = structlog.get_logger(__name__)
_VERSIONS = {"tlsv1.2": ssl.TLSVersion.TLSv1_2, "tlsv1.3": ssl.TLSVersion.TLSv1_3}

_Stamp = tuple[tuple[int, int], ...]


class Certificate:
    """Gives the TLS context of new connections."""

    def __init__(self, config: Config, certificate: Path) -> None:
        self._certificate = certificate
        self._key = config.smtp_server_tls_key
        self._passphrase = config.smtp_server_tls_passphrase
        self._ciphers = config.smtp_server_tls_ciphers
        self._min_version = config.smtp_server_tls_min_version
        self._stamp: _Stamp | None = None
        self._context: ssl.SSLContext | None = None

    @classmethod
    def of(cls, config: Config) -> Certificate | None:
        """The configured certificate; None when there is none."""
        return None if config.smtp_server_tls_cert is None else cls(config, config.smtp_server_tls_cert)

    def context(self) -> ssl.SSLContext:
        """The context for a connection that begins now.

        Files that cannot be used leave the last good certificate in place; raises ConfigError when there is none yet.
        """
        try:
            stamp = self._look()
            if stamp != self._stamp or self._context is None:
                self._stamp = stamp
                self._context = self._load()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            if self._context is None:
                raise ConfigError(f"the certificate {self._certificate} cannot be used: {reason}") from error
            _log.warning("smtp_certificate_not_renewed", file=str(self._certificate), error=reason)
        return self._context

    def _look(self) -> _Stamp:
        files = [self._certificate, *([self._key] if self._key is not None else [])]
        return tuple((status.st_mtime_ns, status.st_size) for status in (file.stat() for file in files))

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _VERSIONS[self._min_version]
        if self._ciphers is not None:
            context.set_ciphers(self._ciphers)
        # A function, since OpenSSL would ask at the terminal for a passphrase that is not given.
        context.load_cert_chain(self._certificate, self._key, password=lambda: self._passphrase or "")
        return context
