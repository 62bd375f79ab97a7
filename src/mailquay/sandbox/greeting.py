"""What a start with the sandbox prints: lines to paste into a shell."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence

from mailquay.sandbox.mail.people import CATCH_ALL
from mailquay.sandbox.world import SandboxAccount

_FIRST_ID = """python3 -c 'import json, sys; print(json.load(sys.stdin)["messages"][0]["id"])'"""


def curl_lines(base_url: str, token: str, accounts: Sequence[SandboxAccount]) -> str:
    """The first things to try with the accounts, of which there are at least two, as shell lines with comments.

    Each line works as it stands once the first two are pasted, but for the webhook's: it needs somebody who listens.
    """
    first, second = accounts[0], accounts[1]
    mail = {
        "to": [{"name": second.name, "address": second.email}, {"address": "somebody@elsewhere.example"}],
        "subject": "Hello from the sandbox",
        "text": "It works.",
        "html": "<p>It <b>works</b>.</p>",
    }
    hook = {"webhooks": "http://127.0.0.1:8080/", "webhooksEnabled": True, "webhookEvents": ["*"]}
    lines = [
        f"The sandbox is ready: {', '.join(f'{one.id} ({one.email})' for one in accounts)}.",
        "",
        f"API={base_url}",
        f"AUTH={shlex.quote(f'Authorization: Bearer {token}')}",
        "",
        "# the accounts",
        'curl -s "$API/v1/accounts" -H "$AUTH"',
        f"# the newest messages of {first.id}, then the newest one whole",
        f'curl -s "$API/v1/account/{first.id}/messages?path=INBOX&pageSize=5" -H "$AUTH"',
        f'MESSAGE=$(curl -s "$API/v1/account/{first.id}/messages?path=INBOX&pageSize=1" -H "$AUTH" | {_FIRST_ID})',
        f'curl -s "$API/v1/account/{first.id}/message/$MESSAGE?textType=*" -H "$AUTH"',
        "# a fourth account: what is sent to other domains ends in this one's mailbox",
        f'curl -s -X POST "$API/v1/account" -H "$AUTH" {_json(_catch_all(first))}',
        f"# send mail to {second.id} and to somebody elsewhere; it arrives at once",
        f'curl -s -X POST "$API/v1/account/{first.id}/submit" -H "$AUTH" {_json(mail)}',
        f'curl -s "$API/v1/account/{second.id}/messages?path=INBOX&pageSize=1" -H "$AUTH"',
        f'curl -s "$API/v1/account/{CATCH_ALL.id}/messages?path=INBOX&pageSize=1" -H "$AUTH"',
        "# be told of everything that happens",
        f'curl -s -X POST "$API/v1/settings" -H "$AUTH" {_json(hook)}',
        "",
        f"With a mail program: IMAP {first.imap_host}:{first.imap_port}, SMTP {first.smtp_host}:{first.smtp_port}, "
        f"without TLS; user {first.user}, password {first.password}.",
        f"Nothing leaves this machine: mail to other domains ends in the mailbox of {CATCH_ALL.email}, which has the "
        "same password.",
        "",
    ]
    return "\n".join(lines)


def _catch_all(account: SandboxAccount) -> dict[str, object]:
    """The body that registers the catch-all mailbox, which lives on the same servers."""
    login = {"user": CATCH_ALL.email, "pass": account.password}
    return {
        "account": CATCH_ALL.id,
        "name": CATCH_ALL.name,
        "email": CATCH_ALL.email,
        "imap": {"host": account.imap_host, "port": account.imap_port, "secure": False, "auth": login},
        "smtp": {"host": account.smtp_host, "port": account.smtp_port, "secure": False, "auth": login},
    }


def _json(body: object) -> str:
    return f"-H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body, ensure_ascii=False))}"
