"""A private Dovecot 2.3 in a temporary directory: IMAP, LMTP, and SASL for Postfix.

Nothing of /etc/dovecot is read. Everything runs as one user (nobody when we are root), so no privilege is needed.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import smtplib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from tests.servers.certificates import Authority
from tests.servers.process import (
    LOOPBACK,
    ServerDidNotStart,
    ServerProcess,
    environment,
    find_program,
    free_ports,
    give_away,
    server_user,
    short_directory,
)

Settings = Mapping[str, "str | int | Settings"]

DOMAIN = "example.test"
SPECIAL_MAILBOXES = ("Drafts", "Sent", "Trash", "Junk", "Archive")


@dataclass(frozen=True)
class MailUser:
    """Somebody with a mailbox: the login name is the address."""

    login: str
    password: str


def render(settings: Settings, indent: str = "") -> str:
    """Write settings in Dovecot's syntax; a mapping becomes a section."""
    lines = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            lines.append(f"{indent}{name} {{\n{render(value, indent + '  ')}{indent}}}\n")
        else:
            lines.append(f"{indent}{name} = {value}\n")
    return "".join(lines)


class Dovecot:
    """A running Dovecot with `user_count` users made beforehand, handed out one by one by `new_user`.

    Users are made beforehand because Dovecot sees a changed password file only after a second, and they cost nothing.

    require_tls       no login before STARTTLS; listens on 127.0.0.2 then, since Dovecot takes a connection between
                      equal addresses for a secure one
    capability        replaces the CAPABILITY string, to play a poorer server
    special_use       whether folders carry SPECIAL-USE flags
    quota             for example "100K": QUOTA, and deliveries beyond it fail
    compress          offer COMPRESS=DEFLATE
    introspection_url where bearer tokens are looked up (RFC 7662); switches `bearer_mechanisms` on
    extra             further settings, laid over ours
    """

    def __init__(
        self,
        authority: Authority,
        *,
        user_count: int = 2000,
        require_tls: bool = False,
        capability: str | None = None,
        special_use: bool = True,
        quota: str | None = None,
        compress: bool = True,
        introspection_url: str | None = None,
        bearer_mechanisms: str = "xoauth2 oauthbearer",
        extra: Settings | None = None,
    ) -> None:
        self.host = "127.0.0.2" if require_tls else LOOPBACK
        self.ca_path = authority.ca_path
        self._certificate = authority.issue("dovecot")
        self._require_tls, self._capability, self._special_use = require_tls, capability, special_use
        self._quota, self._compress, self._extra = quota, compress, extra or {}
        self._introspection_url, self._bearer_mechanisms = introspection_url, bearer_mechanisms
        self.directory = short_directory("dovecot-")
        self.log_path = self.directory / "dovecot.log"
        self._config_path = self.directory / "dovecot.conf"
        self.imap_port, self.imaps_port = free_ports(2, self.host)
        self.lmtp_port, self.sasl_port = free_ports(2)
        self.users = {f"user{number}@{DOMAIN}": f"secret-{number}" for number in range(user_count)}
        self._unused = itertools.islice(self.users.items(), user_count)
        self._process: ServerProcess | None = None

    # -- life --

    def start(self) -> Self:
        """Start it and wait until IMAP and LMTP answer; raises ServerDidNotStart with its log."""
        if not self._config_path.exists():
            self._write_configuration()
        self._process = ServerProcess(
            [find_program("dovecot"), "-F", "-c", self._config_path], directory=self.directory, env=environment()
        )
        try:
            self._process.wait_until_it_listens(self.host, self.imap_port)
            self._process.wait_until_it_listens(LOOPBACK, self.lmtp_port)
        except ServerDidNotStart as error:
            log = self.log_path.read_text() if self.log_path.exists() else ""
            raise ServerDidNotStart(f"dovecot: {error}\n{log}") from error
        return self

    def stop(self) -> None:
        """Stop it with all sessions; mailboxes stay, `start` brings them back on the same ports."""
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

    # -- what tests do with it --

    def new_user(self) -> MailUser:
        """Hand out a user whom no other test has, with an empty INBOX."""
        login, password = next(self._unused)
        return MailUser(login, password)

    async def deliver(self, recipient: str, *messages: bytes, sender: str = "") -> None:
        """Deliver messages by LMTP, in one session; raises smtplib.SMTPException if one is refused."""
        await asyncio.to_thread(self._deliver, recipient, messages, sender)

    def _deliver(self, recipient: str, messages: Sequence[bytes], sender: str) -> None:
        with smtplib.LMTP(LOOPBACK, self.lmtp_port, timeout=20) as session:
            for message in messages:
                session.sendmail(sender, [recipient], message)

    def fill(self, recipient: str, messages: Iterable[bytes]) -> None:
        """Put messages into the INBOX of somebody who has none yet, as files: tens of thousands take seconds."""
        maildir = self.directory / "mail" / recipient / "mail"
        for name in ("cur", "new", "tmp"):
            (maildir / name).mkdir(parents=True)
        for number, message in enumerate(messages):
            (maildir / "cur" / f"{number:010}.P1.{DOMAIN}:2,").write_bytes(message)
        give_away(self.directory / "mail" / recipient)

    async def doveadm(self, *arguments: str) -> str:
        """Run doveadm against this server and return what it printed.

        For example ("kick", user), ("mailbox", "update", "--uid-validity", "7", "-u", user, "INBOX"),
        ("expunge", "-u", user, "mailbox", "INBOX", "all"). Raises RuntimeError with its message if it fails.
        """
        drop = os.geteuid() == 0
        user, group = server_user()
        process = await asyncio.create_subprocess_exec(
            *(find_program("doveadm"), "-c", str(self._config_path), *arguments),
            cwd=self.directory,
            env=environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            user=user if drop else None,
            group=group if drop else None,
            extra_groups=[] if drop else None,
        )
        async with asyncio.timeout(30):
            out, err = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"doveadm {' '.join(arguments)}: {err.decode(errors='replace').strip()}")
        return out.decode()

    async def session_pids(self, login: str) -> list[int]:
        """Process ids of a user's sessions: SIGSTOP to one makes a half-open connection."""
        told = await self.doveadm("who", "-1", login)
        return [int(line.split()[2]) for line in told.splitlines() if line.split()[0] == login]

    # -- configuration --

    def _write_configuration(self) -> None:
        for name in ("run", "state", "mail"):
            (self.directory / name).mkdir()
        users = (f"{login}:{{PLAIN}}{password}::::::\n" for login, password in self.users.items())
        (self.directory / "users").write_text("".join(users))
        settings = {**self._general(), **self._services(), **self._mail(), **self._oauth2()}
        self._config_path.write_text(render({**settings, **self._extra}))
        give_away(self.directory)

    def _general(self) -> Settings:
        user, group = server_user()
        return {
            "base_dir": f"{self.directory}/run",
            "state_dir": f"{self.directory}/state",
            "log_path": str(self.log_path),
            "log_timestamp": '"%Y-%m-%d %H:%M:%S "',
            "auth_verbose": "yes",
            "instance_name": self.directory.name,
            "protocols": "imap lmtp",
            "listen": self.host,
            "default_internal_user": user,
            "default_internal_group": group,
            "default_login_user": user,
            "first_valid_uid": 1,
            "first_valid_gid": 1,
            "mail_max_userip_connections": 1000,
            "auth_mechanisms": "plain login",
            "auth_failure_delay": 0,
            "disable_plaintext_auth": "yes" if self._require_tls else "no",
            "ssl": "required" if self._require_tls else "yes",
            "ssl_cert": f"<{self._certificate.certificate_path}",
            "ssl_key": f"<{self._certificate.key_path}",
            "ssl_min_protocol": "TLSv1.2",
            "hostname": f"mail.{DOMAIN}",
        }

    def _services(self) -> Settings:
        user, group = server_user()
        password_file = f"username_format=%u {self.directory}/users"
        return {
            # Without the penalty socket there is no growing delay after failed logins; all tests come from one address.
            "service anvil": {"chroot": "", "unix_listener anvil-auth-penalty": {"mode": 0}},
            "service stats": {"chroot": ""},
            "service imap": {"vsz_limit": "1G", "process_limit": 1024},
            "service imap-login": {
                "chroot": "",
                "process_min_avail": 1,
                "service_count": 0,
                "client_limit": 2000,
                "inet_listener imap": {"port": self.imap_port},
                "inet_listener imaps": {"port": self.imaps_port, "ssl": "yes"},
            },
            "service lmtp": {
                "user": user,
                "inet_listener lmtp": {"address": LOOPBACK, "port": self.lmtp_port},
            },
            "service auth": {"inet_listener sasl": {"address": LOOPBACK, "port": self.sasl_port}},
            "passdb": {"driver": "passwd-file", "args": password_file},
            "userdb": {
                "driver": "passwd-file",
                "args": password_file,
                "override_fields": f"uid={user} gid={group} home={self.directory}/mail/%u",
            },
        }

    def _oauth2(self) -> Settings:
        """Tokens are asked about at every login; a trailing space makes a second section of the same name."""
        if self._introspection_url is None:
            return {}
        (self.directory / "oauth2.conf").write_text(
            f"introspection_url = {self._introspection_url}\nintrospection_mode = post\nforce_introspection = yes\n"
            "active_attribute = active\nactive_value = true\nusername_attribute = username\n"
        )
        return {
            "auth_mechanisms": f"plain login {self._bearer_mechanisms}",
            "passdb ": {
                "driver": "oauth2",
                "mechanisms": self._bearer_mechanisms,
                "args": f"{self.directory}/oauth2.conf",
            },
        }

    def _mail(self) -> Settings:
        plugins = "quota" if self._quota else ""
        imap = ["$mail_plugins", *(["imap_zlib"] if self._compress else []), *(["imap_quota"] if self._quota else [])]
        capability: Settings = {"imap_capability": self._capability} if self._capability else {}
        quota: Settings = {
            "plugin": {
                "quota": "count:User quota",
                "quota_vsizes": "yes",
                "quota_rule": f"*:storage={self._quota}",
                "quota_grace": 0,
            }
        }
        return {
            "mail_location": "maildir:~/mail",
            "mail_fsync": "never",
            "mailbox_list_index": "yes",
            "mail_plugins": plugins,
            "lmtp_save_to_detail_mailbox": "no",
            "recipient_delimiter": "+",
            "namespace inbox": {
                "inbox": "yes",
                "separator": "/",
                **{f"mailbox {name}": self._mailbox(name) for name in SPECIAL_MAILBOXES},
            },
            "protocol imap": {"mail_plugins": " ".join(imap), "imap_idle_notify_interval": "120s", **capability},
            "protocol lmtp": {"postmaster_address": f"postmaster@{DOMAIN}"},
            **(quota if self._quota else {}),
        }

    def _mailbox(self, name: str) -> Settings:
        if not self._special_use:
            return {"auto": "subscribe"}
        return {"auto": "subscribe", "special_use": f"\\{name}"}
