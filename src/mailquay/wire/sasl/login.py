"""LOGIN: the undocumented elder of PLAIN; still the only password mechanism of some servers."""

from __future__ import annotations

from mailquay.errors import RemoteProtocolError
from mailquay.wire.sasl.mechanism import require_no_nul


class LoginClient:
    """Client side of LOGIN: two prompts, answered in order whatever their wording."""

    name = "LOGIN"

    def __init__(self, username: str, password: str) -> None:
        require_no_nul(username=username, password=password)
        self._answers = [password.encode(), username.encode()]

    @property
    def complete(self) -> bool:
        return not self._answers

    def initial_response(self) -> None:
        """LOGIN has none: the server asks first."""

    def step(self, challenge: bytes) -> bytes:
        """Give the user name, then the password. Raises RemoteProtocolError at a third prompt."""
        if not self._answers:
            raise RemoteProtocolError("LOGIN has two prompts, the server sent a third")
        return self._answers.pop()
