"""Fixtures that every suite shares: real servers, one of each per test process, and sinks, one per test."""

from __future__ import annotations

import logging
import resource
import shutil
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import structlog
from hypothesis import settings

from mailquay.sandbox.world import SandboxWorld
from tests import golden_files
from tests.servers.availability import require_server
from tests.servers.certificates import Authority
from tests.servers.cyrus import Cyrus
from tests.servers.dovecot import Dovecot, MailUser
from tests.servers.postfix import Postfix
from tests.servers.postgres import Postgres
from tests.servers.process import short_directory
from tests.servers.smtp_sink import SmtpSink
from tests.servers.webhook_sink import WebhookSink

_OPEN_FILES = 65536

# Machines that run tests are slow at times: how long one example takes says nothing.
settings.register_profile("default", deadline=None)
settings.register_profile("fuzz", deadline=None, max_examples=5000)
settings.load_profile("default")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch of `make golden`."""
    parser.addoption("--rewrite-golden", action="store_true", help="write golden files anew instead of comparing")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that compare with golden files, so that `make golden` runs just these."""
    for item in items:
        if "golden" in getattr(item, "fixturenames", ()):
            item.add_marker("golden")


def pytest_configure() -> None:
    """Allow the test process, and so the servers it starts, as many open files as the machine lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@pytest.fixture(autouse=True)
def _logs_end_with_the_test() -> Iterator[None]:
    """A test that starts the server in this process sets up logs on a stream that is closed after it."""
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers = handlers
    logging.getLogger().setLevel(level)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with the file of that name in tests/golden: `golden("openapi.json", text)`."""

    rewrite = bool(request.config.getoption("--rewrite-golden"))

    def compare(name: str, text: str) -> None:
        golden_files.compare(golden_files.FOLDER / name, text, rewrite=rewrite)

    return compare


@pytest.fixture(scope="session")
def authority() -> Iterator[Authority]:
    """The throw-away certificate authority whose certificates all test servers carry."""
    # Not below tmp_path: Postfix and Dovecot read their certificates as other users than ours.
    directory = short_directory("authority-")
    yield Authority(directory)
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def dovecot(authority: Authority) -> Iterator[Dovecot]:
    """A real IMAP server; take a user of your own with `mail_user` or `dovecot.new_user()`."""
    require_server("dovecot")
    with Dovecot(authority) as server:
        yield server


@pytest.fixture
def mail_user(dovecot: Dovecot) -> MailUser:
    """A user of the `dovecot` fixture whom no other test has."""
    return dovecot.new_user()


@pytest.fixture(scope="session")
def postfix(authority: Authority, dovecot: Dovecot) -> Iterator[Postfix]:
    """A real SMTP server in front of the `dovecot` fixture, with the same users."""
    require_server("postfix")
    with Postfix(authority, dovecot) as server:
        yield server


@pytest.fixture(scope="session")
def cyrus() -> Iterator[Cyrus]:
    """A real IMAP server of another make."""
    require_server("cyrus")
    with Cyrus() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real database server."""
    require_server("postgres")
    with Postgres() as server:
        yield server


@pytest.fixture
async def postgres_dsn(postgres: Postgres) -> AsyncIterator[str]:
    """The address of an empty database of the test's own."""
    dsn = await postgres.create_database()
    yield dsn
    await postgres.drop_database(dsn)


@pytest.fixture
async def webhook_sink() -> AsyncIterator[WebhookSink]:
    """A real receiver of webhooks in the test's event loop."""
    async with WebhookSink() as sink:
        yield sink


@pytest.fixture
async def smtp_sink() -> AsyncIterator[SmtpSink]:
    """A real SMTP server in the test's event loop that accepts everything and replies as scripted."""
    async with SmtpSink() as sink:
        yield sink


@pytest.fixture
async def world() -> AsyncIterator[SandboxWorld]:
    """The sandbox's mail servers, without mail."""
    world = SandboxWorld(empty=True)
    await world.start()
    yield world
    await world.stop()
