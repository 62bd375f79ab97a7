"""A private Postfix 3.7 in a temporary directory, which delivers by LMTP to a private Dovecot and makes real bounces.

Its master starts only as root. Where mail goes depends on the recipient's domain:

    example.test    by LMTP to Dovecot; a user unknown there bounces to the envelope sender
    refused.test    refused for good (5.7.1): bounces at once
    slow.test       refused for now (4.4.1): first a "delayed" notice, then a bounce after six seconds
    any other       5.1.2, no such domain: bounces at once

AUTH is Dovecot's: the same users and passwords.
"""

from __future__ import annotations

import os
import shutil
import time
from typing import Self

from tests.servers.certificates import Authority
from tests.servers.dovecot import DOMAIN, Dovecot
from tests.servers.process import (
    LOOPBACK,
    ServerDidNotStart,
    ServerProcess,
    find_program,
    free_ports,
    run,
    short_directory,
)

_DAEMONS = "/usr/lib/postfix/sbin"
_PRIVATE_QUEUES = (
    *("incoming", "active", "bounce", "defer", "deferred", "flush", "saved", "trace", "corrupt", "hold"),
    "private",
)
# name, type, private, unprivileged, chroot, wake-up seconds, process limit, program
_INTERNAL_SERVICES = """\
pickup    unix       n - n 60    1 pickup
cleanup   unix       n - n -     0 cleanup
qmgr      unix       n - n 300   1 qmgr
tlsmgr    unix       - - n 1000? 1 tlsmgr
rewrite   unix       - - n -     - trivial-rewrite
bounce    unix       - - n -     0 bounce
defer     unix       - - n -     0 bounce
trace     unix       - - n -     0 bounce
verify    unix       - - n -     1 verify
flush     unix       n - n 1000? 0 flush
proxymap  unix       - - n -     - proxymap
proxywrite unix      - - n -     1 proxymap
smtp      unix       - - n -     - smtp
relay     unix       - - n -     - smtp
lmtp      unix       - - n -     - lmtp
showq     unix       n - n -     - showq
error     unix       - - n -     - error
retry     unix       - - n -     - error
discard   unix       - - n -     - discard
anvil     unix       - - n -     1 anvil
scache    unix       - - n -     1 scache
postlog   unix-dgram n - n -     1 postlogd
"""


class Postfix:
    """A running Postfix with three ports.

    smtp_port         as a public mail exchanger: takes mail for example.test only, no AUTH
    submission_port   AUTH required, STARTTLS offered; takes mail for anybody and bounces later
    smtps_port        the same over implicit TLS

    `extra` is laid over main.cf.
    """

    def __init__(
        self,
        authority: Authority,
        dovecot: Dovecot,
        *,
        message_size_limit_bytes: int = 40 * 1024 * 1024,
        extra: dict[str, str] | None = None,
    ) -> None:
        self.host = LOOPBACK
        self.ca_path = authority.ca_path
        self._certificate = authority.issue("postfix", hostnames=("localhost", f"mail.{DOMAIN}"))
        self._dovecot = dovecot
        self._size_limit_bytes, self._extra = message_size_limit_bytes, extra or {}
        self.directory = short_directory("postfix-")
        self.log_path = self.directory / "mail.log"
        self._config = self.directory / "conf"
        self.smtp_port, self.submission_port, self.smtps_port = free_ports(3)
        self._process: ServerProcess | None = None

    def start(self) -> Self:
        """Start it and wait until it answers; raises ServerDidNotStart with its log."""
        if not self._config.exists():
            self._write_configuration()
        # Not `postfix start`: the master in the foreground is an ordinary child, which SIGTERM ends with its children.
        self._process = ServerProcess(
            [f"{_DAEMONS}/master", "-c", self._config, "-d"], directory=self.directory, as_server=False
        )
        try:
            for port in (self.smtp_port, self.submission_port):
                self._process.wait_until_it_listens(LOOPBACK, port)
        except ServerDidNotStart as error:
            log = self.log_path.read_text() if self.log_path.exists() else ""
            raise ServerDidNotStart(f"postfix: {error}\n{log}") from error
        return self

    def stop(self) -> None:
        """Stop it; its queue stays, `start` goes on with it on the same ports."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def close(self) -> None:
        """Stop it and remove its directory."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def queue(self) -> str:
        """List what waits in its queue."""
        return run([find_program("postqueue"), "-c", self._config, "-p"], cwd=self.directory, as_server=False)

    # -- configuration --

    def _write_configuration(self) -> None:
        for name in ("conf", "queue", "data"):
            (self.directory / name).mkdir()
        shutil.chown(self.directory / "data", "postfix", "postfix")
        self._make_queue()
        self._certificate.key_path.chmod(0o600)
        (self._config / "transport").write_text(
            "refused.test error:5.7.1 this domain refuses all mail\n"
            "slow.test    retry:4.4.1 this domain is never reachable\n"
        )
        main = self._config / "main.cf"
        main.write_text("".join(f"{name} = {value}\n" for name, value in {**self._main(), **self._extra}.items()))
        # Postfix waits until its main.cf is two seconds old: somebody might still be writing it.
        past = time.time() - 60
        os.utime(main, (past, past))
        (self._config / "master.cf").write_text(self._listeners() + _INTERNAL_SERVICES)

    def _make_queue(self) -> None:
        """Make the queue directories as `postfix check` would, which takes two seconds for it."""
        made = [(name, 0o700, "postfix", "root") for name in _PRIVATE_QUEUES]
        made += [
            ("public", 0o710, "postfix", "postdrop"),
            ("maildrop", 0o730, "postfix", "postdrop"),
            ("pid", 0o755, "root", "root"),
        ]
        for name, mode, owner, group in made:
            path = self.directory / "queue" / name
            path.mkdir()
            path.chmod(mode)
            shutil.chown(path, owner, group)

    def _listeners(self) -> str:
        submission = (
            "-o smtpd_sasl_auth_enable=yes"
            " -o smtpd_relay_restrictions=permit_sasl_authenticated,reject"
            # Otherwise an `error:` destination is refused at RCPT TO already, and nothing would ever bounce.
            " -o smtpd_reject_unlisted_recipient=no"
        )
        return (
            f"{LOOPBACK}:{self.smtp_port} inet n - n - - smtpd\n"
            f"{LOOPBACK}:{self.submission_port} inet n - n - - smtpd -o syslog_name=postfix/submission {submission}\n"
            f"{LOOPBACK}:{self.smtps_port} inet n - n - - smtpd -o syslog_name=postfix/smtps"
            f" -o smtpd_tls_wrappermode=yes {submission}\n"
        )

    def _main(self) -> dict[str, str]:
        return self._main_places() | self._main_routing() | self._main_limits() | self._main_security()

    def _main_places(self) -> dict[str, str]:
        return {
            "compatibility_level": "3.6",
            "queue_directory": f"{self.directory}/queue",
            "data_directory": f"{self.directory}/data",
            "command_directory": "/usr/sbin",
            "daemon_directory": _DAEMONS,
            "mail_owner": "postfix",
            "setgid_group": "postdrop",
            "maillog_file": str(self.log_path),
            "maillog_file_prefixes": str(self.directory),
            "syslog_name": "postfix",
            "multi_instance_name": "",
            "multi_instance_enable": "no",
            "inet_interfaces": LOOPBACK,
            "inet_protocols": "ipv4",
        }

    def _main_routing(self) -> dict[str, str]:
        return {
            "myhostname": f"mail.{DOMAIN}",
            "mydomain": DOMAIN,
            "myorigin": DOMAIN,
            "mydestination": "",
            "alias_maps": "",
            "alias_database": "",
            "local_recipient_maps": "",
            "virtual_mailbox_domains": DOMAIN,
            "virtual_transport": f"lmtp:inet:{LOOPBACK}:{self._dovecot.lmtp_port}",
            # One recipient for each LMTP delivery, so that each failure has a report of its own.
            "lmtp_destination_recipient_limit": "1",
            "transport_maps": f"texthash:{self._config}/transport",
            "default_transport": "error:5.1.2 no such domain in this test network",
            "relay_transport": "error:5.1.2 no such domain in this test network",
            "disable_dns_lookups": "yes",
            "smtp_host_lookup": "native",
            "lmtp_host_lookup": "native",
            "recipient_delimiter": "+",
            "smtputf8_enable": "yes",
            "notify_classes": "",
        }

    def _main_limits(self) -> dict[str, str]:
        return {
            "message_size_limit": str(self._size_limit_bytes),
            "mailbox_size_limit": "0",
            "virtual_mailbox_limit": "0",
            # Impatience: retries, delay notices and final bounces within seconds.
            "queue_run_delay": "1s",
            "minimal_backoff_time": "1s",
            "maximal_backoff_time": "2s",
            "maximal_queue_lifetime": "6s",
            "bounce_queue_lifetime": "6s",
            "delay_warning_time": "1s",
            "smtpd_client_connection_rate_limit": "0",
            "smtpd_client_connection_count_limit": "0",
            "smtpd_error_sleep_time": "0",
            "smtpd_soft_error_limit": "100",
            "in_flow_delay": "0",
            "default_process_limit": "50",
        }

    def _main_security(self) -> dict[str, str]:
        return {
            "mynetworks": "",
            "smtpd_peername_lookup": "no",
            "smtpd_delay_reject": "yes",
            "smtpd_relay_restrictions": "permit_sasl_authenticated, reject_unauth_destination",
            "smtpd_recipient_restrictions": "",
            "smtpd_sasl_type": "dovecot",
            "smtpd_sasl_path": f"inet:{LOOPBACK}:{self._dovecot.sasl_port}",
            "smtpd_sasl_security_options": "noanonymous",
            "smtpd_tls_auth_only": "no",
            "smtpd_tls_cert_file": str(self._certificate.certificate_path),
            "smtpd_tls_key_file": str(self._certificate.key_path),
            "smtpd_tls_security_level": "may",
            "smtpd_tls_loglevel": "1",
            "smtpd_tls_session_cache_database": "",
        }
