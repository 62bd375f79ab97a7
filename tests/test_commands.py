"""The command line: which call each command makes, what it prints, and what a mistake gets."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

from mailquay import commands
from mailquay.commands import run, take_configuration_flags
from mailquay.config import Config
from mailquay.errors import ConfigError, StorageError
from mailquay.model.token import Token
from mailquay.version import __version__

PROGRAM = Path(sys.executable).with_name("mailquay")


@dataclass
class Recorder:
    """Stands where `bootstrap` stands and remembers what it was asked: here only the arguments are under test."""

    calls: list[tuple[str, tuple[object, ...], dict[str, object]]] = field(default_factory=list)
    configs: list[Config] = field(default_factory=list)
    answers: dict[str, object] = field(default_factory=dict)

    def record(self, name: str, *args: object, **kwargs: object) -> object:
        rest = args
        if args and isinstance(args[0], Config):
            self.configs.append(args[0])
            rest = args[1:]
        self.calls.append((name, rest, kwargs))
        answer = self.answers.get(name)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def bootstrap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Recorder:
    recorder = Recorder()
    module = ModuleType("mailquay.bootstrap")
    for name in vars(commands.Bootstrap):
        if not name.startswith("_"):

            def call(*args: object, _name: str = name, **kwargs: object) -> object:
                return recorder.record(_name, *args, **kwargs)

            setattr(module, name, call)
    monkeypatch.setitem(sys.modules, "mailquay.bootstrap", module)
    monkeypatch.chdir(tmp_path)
    for variable in ("PORT", "MAILQUAY_PORT"):
        monkeypatch.delenv(variable, raising=False)
    return recorder


@pytest.mark.parametrize("arguments", [["serve", "--port", "81"], ["--port=81"], ["--api.port", "81", "serve"]])
def test_serve_is_what_happens_without_a_command(bootstrap: Recorder, arguments: list[str]) -> None:
    assert run(arguments) == 0
    assert bootstrap.calls == [("serve", (), {})]
    assert bootstrap.configs[0].port == 81


def test_roles_repeat_and_switches_stand_alone(bootstrap: Recorder) -> None:
    assert run(["serve", "--role", "api", "--sandbox", "--role", "sync", "--log-level", "warn"]) == 0
    config = bootstrap.configs[0]
    assert (config.roles, config.sandbox, config.log_level) == (("sync", "api"), True, "warn")


@pytest.mark.parametrize("word", ["token", "tokens"])
def test_token_issue_prints_the_token_alone(bootstrap: Recorder, capsys: pytest.CaptureFixture[str], word: str) -> None:
    bootstrap.answers["issue_token"] = "ab" * 32
    assert run([word, "issue", "-d", "for tests", "-s", "api", "-s", "smtp", "-a", "ann", "--data-dir", "d"]) == 0
    asked = {"description": "for tests", "scopes": ("api", "smtp"), "account": "ann"}
    assert bootstrap.calls == [("issue_token", (), asked)]
    assert bootstrap.configs[0].data_dir.name == "d"
    assert capsys.readouterr().out == "ab" * 32


def test_token_issue_gives_every_scope_unless_told(bootstrap: Recorder) -> None:
    bootstrap.answers["issue_token"] = "x"
    assert run(["token", "issue"]) == 0
    assert bootstrap.calls[0][2] == {"description": None, "scopes": ("*",), "account": None}


def test_token_list_is_one_harmless_line_each(bootstrap: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    bootstrap.answers["list_tokens"] = [
        Token(id="id1", description="a\x1b[2J\nb", created_ms=0, scopes=("api", "smtp"), account="ann"),
        Token(id="id2", description="", created_ms=1000, expires_ms=2000),
    ]
    assert run(["token", "list", "-a", "ann"]) == 0
    assert bootstrap.calls == [("list_tokens", (), {"account": "ann"})]
    assert capsys.readouterr().out == (
        "id1\t1970-01-01T00:00:00Z\t-\tann\tapi,smtp\ta?[2J?b\n"
        "id2\t1970-01-01T00:00:01Z\t1970-01-01T00:00:02Z\t-\t*\t\n"
    )


def test_tokens_are_revoked_exported_and_imported(bootstrap: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    bootstrap.answers |= {"revoke_token": False, "export_token": "record", "import_token": True}
    assert run(["token", "revoke", "abc"]) == 1
    assert run(["tokens", "export", "-t", "abc"]) == 0
    assert run(["tokens", "import", "--token", "record"]) == 0
    assert [(name, args) for name, args, _ in bootstrap.calls] == [
        ("revoke_token", ("abc",)),
        ("export_token", ("abc",)),
        ("import_token", ("record",)),
    ]
    told = capsys.readouterr()
    assert told.out == "recordimported\n"
    assert told.err == "mailquay: there is no such token\n"


def test_accounts_are_listed_and_shown(bootstrap: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    bootstrap.answers["list_accounts"] = [{"account": "ann", "state": "connected", "email": "a@x.test", "name": None}]
    bootstrap.answers["show_account"] = {"account": "ann", "name": "Ännchen"}
    assert run(["account", "list", "--state", "connected"]) == 0
    assert run(["accounts", "show", "ann"]) == 0
    assert bootstrap.calls == [
        ("list_accounts", (), {"state": "connected", "query": None}),
        ("show_account", ("ann",), {}),
    ]
    assert capsys.readouterr().out == 'ann\tconnected\ta@x.test\t-\n{\n  "account": "ann",\n  "name": "Ännchen"\n}\n'


def test_migrate_and_encrypt_tell_what_they_did(bootstrap: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    bootstrap.answers |= {"migrate": ["0001_initial"], "encrypt": 7}
    assert run(["migrate", "--database", "sqlite:x.db"]) == 0
    assert run(["encrypt", "--rotate", "--decrypt", "old", "--decrypt", "older"]) == 0
    assert bootstrap.calls[1] == ("encrypt", (), {"rotate": True, "former_secrets": ("old", "older")})
    assert bootstrap.configs[0].sqlite_path == Path("x.db")
    assert capsys.readouterr().out == "0001_initial\n7 fields sealed\n"


def test_password_is_made_up_and_stored_or_only_hashed(bootstrap: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["password"]) == 0
    made_up = capsys.readouterr().out
    assert len(made_up) == 32
    bootstrap.answers["hash_password"] = "hash"
    assert run(["password", "-p", "long enough", "--hash"]) == 0
    assert capsys.readouterr().out == "hash"
    assert bootstrap.calls == [("set_password", (made_up,), {}), ("hash_password", ("long enough",), {})]
    assert run(["password", "-p", "short"]) == 1


def test_expected_errors_are_one_line(bootstrap: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    bootstrap.answers["migrate"] = StorageError("the schema is newer than this program")
    assert run(["migrate"]) == 1
    assert run(["migrate", "--port", "x"]) == 2
    assert capsys.readouterr().err == (
        "mailquay: the schema is newer than this program\nmailquay: --port is 'x', which is not a whole number\n"
    )


def test_names_without_effect_are_told_by_commands_too(bootstrap: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    bootstrap.answers["migrate"] = []
    assert run(["migrate", "--dbs.redis", "redis://x"]) == 0
    told = capsys.readouterr()
    assert told.out == "nothing to do: the schema is the newest\n"
    assert "--dbs.redis has no effect" in told.err


@pytest.mark.parametrize("arguments", [["nonsense"], ["serve", "--nonsense"], ["token", "revoke"]])
def test_nonsense_is_refused(bootstrap: Recorder, arguments: list[str]) -> None:
    assert run(arguments) == 2
    assert bootstrap.calls == []


def test_help_explains_and_fails_for_an_unknown_command(
    bootstrap: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["help", "token", "issue"]) == 0
    assert "--description" in capsys.readouterr().out
    assert run(["help", "nonsense"]) == 1


BOUNCE = (
    b"From: Mailer-Daemon@mx.example\nSubject: failure notice\n\n<you@receiver.example>:\n"
    b"Remote host said: 552 5.2.2 full\x1b[2J\n"
    b"\n--- Below this line is a copy of the message.\n\nReceived: x\nMessage-ID: <one@sender.example>\n"
)


@pytest.mark.parametrize("arguments", [["{}"], ["--file", "{}"], ["-f", "{}"]])
def test_check_bounce_tells_what_a_message_says(
    bootstrap: Recorder, capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str]
) -> None:
    path = tmp_path / "one.eml"
    path.write_bytes(BOUNCE)
    assert run(["check-bounce", *(word.format(path) for word in arguments)]) == 0
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert json.loads(told) == {
        "isBounce": True,
        "isComplaint": False,
        "bounce": {
            "recipient": "you@receiver.example",
            "action": "failed",
            "response": {
                "message": "552 5.2.2 full\x1b[2J",
                "status": "5.2.2",
                "category": "mailbox_full",
                "recommendedAction": "retry",
            },
            "messageId": "<one@sender.example>",
            "messageHeaders": {"received": ["x"], "message-id": ["<one@sender.example>"]},
        },
    }
    assert bootstrap.calls == []


def test_check_bounce_exits_with_what_it_found(
    bootstrap: Recorder, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "letter.eml"
    path.write_bytes(b"From: a@b.example\nSubject: Hello\n\nHello\n")
    assert run(["check-bounce", str(path)]) == 1
    assert json.loads(capsys.readouterr().out) == {"isBounce": False, "isComplaint": False}
    assert run(["check-bounce", str(tmp_path / "missing.eml")]) == 2
    assert run(["check-bounce", str(tmp_path)]) == 2
    assert run(["check-bounce"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 3


def test_check_bounce_reads_standard_input() -> None:
    result = subprocess.run([PROGRAM, "check-bounce", "-"], input=BOUNCE, capture_output=True, check=False, timeout=30)
    assert result.returncode == 0
    assert json.loads(result.stdout)["bounce"]["recipient"] == "you@receiver.example"


def test_flags_are_parted_from_words() -> None:
    flags, words = take_configuration_flags(["a", "--sandbox", "--port", "1", "b", "--sandbox", "no", "--", "--port"])
    assert flags == {"sandbox": "no", "port": "1"}
    assert words == ["a", "b", "--", "--port"]
    with pytest.raises(ConfigError, match="--port needs a value"):
        take_configuration_flags(["--port", "--sandbox"])


def test_the_installed_program_knows_its_version_and_licence() -> None:
    def told(*arguments: str) -> str:
        return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=True, timeout=30).stdout

    assert {told("version"), told("--version"), told("-v")} == {f"{__version__}\n"}
    assert told("license").startswith("MIT License")


def test_the_version_is_answered_without_loading_the_server() -> None:
    script = (
        "import sys; sys.argv = ['mailquay', 'version']\n"
        "from mailquay.cli import main; main()\n"
        "print(sorted(name for name in sys.modules if name in ('typer', 'fastapi', 'asyncio', 'aiohttp')))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert result.stdout == f"{__version__}\n[]\n"
