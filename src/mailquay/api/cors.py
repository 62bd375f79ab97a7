"""Which web pages of other origins may call the API from a browser (Fetch standard, CORS protocol)."""

from __future__ import annotations

from collections.abc import Sequence

from mailquay.api.http import Answer, Request

_METHODS = "GET, HEAD, POST, PUT, DELETE"
_ALLOWED_HEADERS = (
    "Accept, Authorization, Content-Type, If-None-Match, Idempotency-Key, X-EE-Timeout, MCP-Protocol-Version, "
    "Mcp-Method, Mcp-Name, Mcp-Session-Id"
)
_EXPOSED_HEADERS = "WWW-Authenticate, X-RateLimit-Limit, X-RateLimit-Reset, X-RateLimit-Remaining, X-Request-Id"


class Cors:
    """The operator's choice of origins; none unless there are some. "*" lets any in."""

    def __init__(self, origins: Sequence[str], max_age_seconds: float) -> None:
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)
        self._max_age = str(int(max_age_seconds))

    def headers(self, request: Request) -> dict[str, str]:
        """What an answer to this request says about its origin; nothing when it may not read it."""
        if not self._origins:
            return {}
        origin = request.headers.get("origin")
        if origin is None or not ("*" in self._origins or origin.lower() in self._origins):
            return {"vary": "origin"}
        return {
            "access-control-allow-origin": origin,
            "access-control-allow-credentials": "true",
            "access-control-expose-headers": _EXPOSED_HEADERS,
            "vary": "origin",
        }

    def is_foreign(self, request: Request) -> bool:
        """Whether a browser says that a page of an origin that the operator did not name made this request.

        A page may send simple requests anywhere without asking first; it only cannot read the answers (Fetch Metadata).
        """
        origin = request.headers.get("origin")
        if origin is not None and ("*" in self._origins or origin.lower() in self._origins):
            return False
        if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return True
        return origin is not None and origin.partition("://")[2] != request.headers.get("host")

    def preflight(self, request: Request) -> Answer | None:
        """The answer to a question whether a call would be allowed; None when the request is none."""
        if request.method != "OPTIONS" or "access-control-request-method" not in request.headers or not self._origins:
            return None
        headers = self.headers(request)
        if "access-control-allow-origin" in headers:
            headers |= {
                "access-control-allow-methods": _METHODS,
                "access-control-allow-headers": _ALLOWED_HEADERS,
                "access-control-max-age": self._max_age,
            }
        return Answer(b"", "text/plain", 204, headers)
