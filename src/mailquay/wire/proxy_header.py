"""The header of the PROXY protocol, versions 1 and 2: where a connection that a proxy passes on really comes from.

It says how many of the bytes at hand belong to it, so that nothing behind it, perhaps a TLS handshake, is taken.
"""

from __future__ import annotations

import ipaddress

from mailquay.errors import RemoteProtocolError

_SIGNATURE_1, _SIGNATURE_2 = b"PROXY ", b"\r\n\r\n\x00\r\nQUIT\n"
_MAX_LINE_BYTES = 107
_FIXED_BYTES = 16
_MAX_PAYLOAD_BYTES = 2048
_FAMILIES = {"TCP4": 4, "TCP6": 6}
_ADDRESS_BYTES = {1: 4, 2: 16}
_LENGTHS = {1: 12, 2: 36}


class ProxyHeader:
    """Collects the header. Once `complete`, `source` is the client's address, None where the proxy means itself."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.complete = False
        self.source: str | None = None

    def take(self, waiting: bytes) -> int:
        """How many of the bytes that wait belong to the header, at least one; they are taken over.

        Raises RemoteProtocolError for what is no such header.
        """
        before = len(self._data)
        seen = bytes(self._data) + waiting
        if seen.startswith(_SIGNATURE_2[: len(seen)]):
            self._read_binary(seen)
        elif seen.startswith(_SIGNATURE_1[: len(seen)]):
            self._read_line(seen)
        else:
            raise RemoteProtocolError("the connection does not begin with a PROXY header")
        return len(self._data) - before

    def _read_line(self, seen: bytes) -> None:
        end = seen.find(b"\r\n", 0, _MAX_LINE_BYTES)
        if end < 0:
            if len(seen) >= _MAX_LINE_BYTES:
                raise RemoteProtocolError("a PROXY header has at most 107 bytes")
            self._data[:] = seen
            return
        self._data[:] = seen[: end + 2]
        words = seen[:end].decode("ascii", "replace").split(" ")
        self.complete = True
        if words[1:2] == ["UNKNOWN"]:
            return
        if len(words) != 6 or words[1] not in _FAMILIES:
            raise RemoteProtocolError("a PROXY header cannot be read")
        try:
            address = ipaddress.ip_address(words[2])
        except ValueError:
            raise RemoteProtocolError("a PROXY header names no address") from None
        if address.version != _FAMILIES[words[1]]:
            raise RemoteProtocolError("a PROXY header names an address of another family")
        self.source = str(address)

    def _read_binary(self, seen: bytes) -> None:
        if len(seen) < _FIXED_BYTES:
            self._data[:] = seen
            return
        length = int.from_bytes(seen[14:16])
        if seen[12] >> 4 != 2 or seen[12] & 0x0F > 1 or length > _MAX_PAYLOAD_BYTES:
            raise RemoteProtocolError("a PROXY header cannot be read")
        self._data[:] = seen[: _FIXED_BYTES + length]
        if len(self._data) < _FIXED_BYTES + length:
            return
        self.complete = True
        family = seen[13] >> 4
        if seen[12] & 0x0F == 0 or family not in _ADDRESS_BYTES:
            return
        if length < _LENGTHS[family]:
            raise RemoteProtocolError("a PROXY header is too short for its addresses")
        self.source = str(ipaddress.ip_address(seen[_FIXED_BYTES : _FIXED_BYTES + _ADDRESS_BYTES[family]]))
