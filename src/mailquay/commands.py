"""The commands of the `mailquay` program: arguments in, one call of `bootstrap`, its answer out.

Every start-up option of docs/settings.md is a flag of every command, by its own name (`--data-dir`) and by its dotted
one (`--api.port`), before or after the command. `mailquay` alone is `mailquay serve`.
"""

from __future__ import annotations

import importlib
import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, cast

import typer

from mailquay.errors import ConfigError, InvalidRequest, MailquayError, NotFound
from mailquay.settings_foreign import FOREIGN_NAMES
from mailquay.settings_option import Kind
from mailquay.settings_table import OPTIONS
from mailquay.version import __version__

if TYPE_CHECKING:
    from mailquay.config import Config
    from mailquay.model.token import Token

_MIN_PASSWORD_LENGTH = 8
_PIECE_BYTES = 64 * 1024
_SWITCH_WORDS = {"true", "false", "yes", "no", "y", "n", "on", "off", "1", "0"}


class Bootstrap(Protocol):
    """What the commands call; each function opens and closes what it needs and runs its own event loop.

    All may raise MailquayError: one line for the terminal, exit code 1 (2 for a wrong configuration).
    """

    def serve(self, config: Config) -> None:
        """Run a node (or `processes` nodes) until a signal ends it."""

    def migrate(self, config: Config) -> Sequence[str]:
        """Bring the database to the newest schema; returns the names of the migrations that ran."""

    def issue_token(
        self, config: Config, *, description: str | None, scopes: tuple[str, ...], account: str | None
    ) -> str:
        """Make an access token and return its value; works while the server runs."""

    def list_tokens(self, config: Config, *, account: str | None) -> Sequence[Token]:
        """Every token that has not expired, or those bound to an account."""

    def revoke_token(self, config: Config, token: str) -> bool:
        """Remove a token by value or id; tells whether there was one."""

    def export_token(self, config: Config, token: str) -> str:
        """Return a token's record, found by value or id, as text that import_token reads."""

    def import_token(self, config: Config, exported: str) -> bool:
        """Store an exported record; tells whether it was new."""

    def list_accounts(self, config: Config, *, state: str | None, query: str | None) -> Sequence[Mapping[str, object]]:
        """Accounts as the API lists them."""

    def show_account(self, config: Config, account: str) -> Mapping[str, object]:
        """One account as the API shows it, secrets masked."""

    def encrypt(self, config: Config, *, rotate: bool, former_secrets: tuple[str, ...]) -> int:
        """Seal every secret with today's key, or with a new one (`rotate`); returns how many were sealed again."""

    def hash_password(self, password: str) -> str:
        """Return the hash of an admin password in the form that `prepared_password` takes."""

    def set_password(self, config: Config, password: str) -> None:
        """Make this the admin's password."""


def _bootstrap() -> Bootstrap:
    """Load everything else only when a command needs it, so that `mailquay version` answers at once."""
    return cast("Bootstrap", importlib.import_module("mailquay.bootstrap"))


def _config(context: typer.Context) -> Config:
    """Read the start-up configuration with the flags that `main` took out of the command line."""
    from mailquay.config import load_config

    config = load_config(context.obj or {}, os.environ, Path.cwd())
    if context.command.name != "serve":
        for notice in config.notices:
            typer.echo(f"mailquay: {notice}", err=True)
    return config


def _settings_epilog() -> str:
    return (
        "Options: --host --port --data-dir --database --sandbox --role (repeatable) --processes --config FILE, "
        "and every other start-up option of docs/settings.md, such as --log-level or --api.port."
    )


app = typer.Typer(
    name="mailquay",
    help="Self-hosted e-mail API server: JSON over HTTP in front of IMAP and SMTP mailboxes.",
    epilog=_settings_epilog(),
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
token_app = typer.Typer(help="Access tokens.", no_args_is_help=True, rich_markup_mode=None)
account_app = typer.Typer(help="Accounts.", no_args_is_help=True, rich_markup_mode=None)
for _app, _names in ((token_app, ("token", "tokens")), (account_app, ("account", "accounts"))):
    app.add_typer(_app, name=_names[0])
    app.add_typer(_app, name=_names[1], hidden=True)

TokenText = Annotated[str, typer.Option("--token", "-t", help="A token's value or id.")]


@app.command(epilog=_settings_epilog())
def serve(context: typer.Context) -> None:
    """Start the server."""
    config = _config(context)
    _bootstrap().serve(config)


@app.command()
def migrate(context: typer.Context) -> None:
    """Bring the database to the newest schema."""
    config = _config(context)
    ran = _bootstrap().migrate(config)
    for name in ran:
        typer.echo(name)
    if not ran:
        typer.echo("nothing to do: the schema is the newest")


@token_app.command("issue")
def token_issue(
    context: typer.Context,
    description: Annotated[str | None, typer.Option("--description", "-d", help="What it is for.")] = None,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", "-s", help="*, api, metrics, smtp, imap-proxy or mcp; repeatable.")
    ] = None,
    account: Annotated[str | None, typer.Option("--account", "-a", help="The only account it may use.")] = None,
) -> None:
    """Make a token and print it."""
    config, scopes = _config(context), tuple(scope or ["*"])
    _print_alone(_bootstrap().issue_token(config, description=description, scopes=scopes, account=account))


@token_app.command("list")
def token_list(
    context: typer.Context,
    account: Annotated[str | None, typer.Option("--account", "-a", help="Only those bound to it.")] = None,
) -> None:
    """List tokens: id, creation, expiry, account, scopes, description, separated by tabs."""
    config = _config(context)
    for token in _bootstrap().list_tokens(config, account=account):
        scopes = ",".join(token.scopes) if token.scopes is not None else "*"
        cells = (token.id, _time(token.created_ms), _time(token.expires_ms), token.account or "-", scopes)
        typer.echo("\t".join((*cells, _one_line(token.description))))


@token_app.command("revoke")
def token_revoke(context: typer.Context, token: Annotated[str, typer.Argument(help="A token's value or id.")]) -> None:
    """Remove a token."""
    config = _config(context)
    if not _bootstrap().revoke_token(config, token):
        raise NotFound("there is no such token")


@token_app.command("export")
def token_export(context: typer.Context, token: TokenText) -> None:
    """Print a token's record for `token import` or `prepared_token`."""
    config = _config(context)
    _print_alone(_bootstrap().export_token(config, token))


@token_app.command("import")
def token_import(
    context: typer.Context,
    token: Annotated[str, typer.Option("--token", "-t", help="What `token export` printed.")],
) -> None:
    """Store an exported token unless it is known."""
    config = _config(context)
    new = _bootstrap().import_token(config, token)
    typer.echo("imported" if new else "known already")


@account_app.command("list")
def account_list(
    context: typer.Context,
    state: Annotated[str | None, typer.Option("--state", help="Only accounts in this state.")] = None,
    query: Annotated[
        str | None, typer.Option("--query", help="Only accounts whose id, name or address has it.")
    ] = None,
) -> None:
    """List accounts: id, state, address, name, separated by tabs."""
    config = _config(context)
    for account in _bootstrap().list_accounts(config, state=state, query=query):
        typer.echo("\t".join(_one_line(account.get(key) or "-") for key in ("account", "state", "email", "name")))


@account_app.command("show")
def account_show(context: typer.Context, account: Annotated[str, typer.Argument(help="The account's id.")]) -> None:
    """Print an account as JSON, secrets masked."""
    config = _config(context)
    shown = _bootstrap().show_account(config, account)
    typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))


@app.command()
def encrypt(
    context: typer.Context,
    rotate: Annotated[bool, typer.Option("--rotate", help="Make a new key and seal everything with it.")] = False,
    decrypt: Annotated[
        list[str] | None, typer.Option("--decrypt", help="A former --secret that opens what is sealed; repeatable.")
    ] = None,
) -> None:
    """Seal every stored secret with the present key."""
    config = _config(context)
    count = _bootstrap().encrypt(config, rotate=rotate, former_secrets=tuple(decrypt or ()))
    typer.echo(f"{count} fields sealed")


@app.command()
def password(
    context: typer.Context,
    password: Annotated[
        str | None, typer.Option("--password", "-p", help="The new password; made up if not given.")
    ] = None,
    hash_only: Annotated[bool, typer.Option("--hash", "-r", help="Only print its hash; change nothing.")] = False,
) -> None:
    """Set the admin's password and print it, or print the hash of one for `prepared_password`."""
    chosen = password if password is not None else secrets.token_hex(16)
    if len(chosen) < _MIN_PASSWORD_LENGTH:
        raise InvalidRequest(f"the password must have at least {_MIN_PASSWORD_LENGTH} characters")
    if hash_only:
        _print_alone(_bootstrap().hash_password(chosen))
        return
    config = _config(context)
    _bootstrap().set_password(config, chosen)
    _print_alone(chosen)


@app.command("check-bounce")
def check_bounce(
    file: Annotated[str | None, typer.Argument(help="A message (.eml), or - for standard input.")] = None,
    named: Annotated[str | None, typer.Option("--file", "-f", help="The same, as an option.")] = None,
) -> None:
    """Say as JSON whether a message is a bounce, a delivery report or a complaint, and what it tells.

    Exits with 0 for a bounce, 1 for anything else, 2 when the file cannot be read.
    """
    from mailquay.reports.public import verdict_data
    from mailquay.reports.source import SourceReader
    from mailquay.reports.verdict import judge

    name = file if file is not None else named
    if name is None:
        raise ConfigError("check-bounce needs a file")
    reader = SourceReader()
    try:
        with sys.stdin.buffer if name == "-" else Path(name).open("rb") as source:
            while piece := source.read(_PIECE_BYTES):
                reader.feed(piece)
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error.strerror or error}") from error
    verdict = judge(reader.finish())
    told = json.dumps(verdict_data(verdict), indent=2, ensure_ascii=False)
    # The message is a stranger's: nothing of it may steer a terminal.
    typer.echo("".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in told))
    raise typer.Exit(0 if verdict.bounce is not None else 1)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


@app.command()
def license() -> None:
    """Print the licence."""
    from importlib.metadata import distribution

    typer.echo((distribution("mailquay").read_text("licenses/LICENSE") or "MIT").rstrip())


@app.command("help")
def show_help(
    context: typer.Context, command: Annotated[list[str] | None, typer.Argument(help="A command.")] = None
) -> None:
    """Explain a command."""
    raise typer.Exit(1 if _run([*(command or ()), "--help"], context.obj) else 0)


# -- the command line as a whole --


def _print_alone(text: str) -> None:
    """Print for `$(...)`: nothing but the text, with a line end only where a person reads it."""
    typer.echo(text, nl=sys.stdout.isatty())


def _one_line(value: object) -> str:
    """Make text from a stranger harmless on a terminal."""
    return "".join(character if character.isprintable() else "?" for character in str(value))


def _time(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "-"
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def take_configuration_flags(arguments: Sequence[str]) -> tuple[dict[str, object], list[str]]:
    """Part the flags that are start-up options, in whatever place, from the words of the command.

    A switch (`--sandbox`) may stand without a value; `--role` may be repeated. Raises ConfigError when one is missing.
    """
    kinds: dict[str, Kind] = {"config": Kind.PATH, "role": Kind.CHOICES}
    kinds |= {one.dotted: Kind.TEXT for one in FOREIGN_NAMES if one.dotted}
    for option in OPTIONS:
        names = (option.flag.removeprefix("--"), option.dotted)
        kinds |= {name: option.kind for name in names if name is not None}
    flags: dict[str, object] = {}
    words: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if word == "--":
            words += [word, *rest]
            break
        if not word.startswith("--") or name not in kinds:
            words.append(word)
            continue
        if not equals:
            value = _value_of(name, kinds[name], rest)
        if name in ("role", "roles"):
            value = f"{flags.get('roles', '')} {value}".strip()
            name = "roles"
        flags[name] = value
    return flags, words


def _value_of(name: str, kind: Kind, rest: list[str]) -> str:
    """Take the value of a flag from the words that follow it."""
    if kind is Kind.BOOLEAN:
        return rest.pop(0) if rest and rest[0].lower() in _SWITCH_WORDS else "true"
    if not rest or rest[0].startswith("--"):
        raise ConfigError(f"--{name} needs a value")
    return rest.pop(0)


def _run(words: list[str], flags: object) -> int:
    """Run one command; returns its exit code."""
    command: Callable[..., object] = typer.main.get_command(app).main
    try:
        code = command(words, prog_name="mailquay", standalone_mode=True, obj=flags)
    except SystemExit as exit_:
        code = exit_.code
    return code if isinstance(code, int) else 0


def run(arguments: Sequence[str]) -> int:
    """Run the command line without the program's name; returns the exit code."""
    try:
        flags, words = take_configuration_flags(arguments)
        return _run(words or ["serve"], flags)
    except ConfigError as error:
        typer.echo(f"mailquay: {error}", err=True)
        return 2
    except MailquayError as error:
        typer.echo(f"mailquay: {error}", err=True)
        return 1
