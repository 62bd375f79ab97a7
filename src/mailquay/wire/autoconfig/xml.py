"""A small XML reader for documents of strangers: no DTD, so no entities of their own, and limits on everything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat  # no DTD gets past it, see _refuse_dtd

from mailquay.errors import RemoteProtocolError

MAX_XML_BYTES = 256 * 1024
_MAX_DEPTH = 32
_MAX_ELEMENTS = 10_000


@dataclass(slots=True)
class Element:
    """An element by its local name: the namespaces of these formats differ from sender to sender."""

    name: str
    attributes: Mapping[str, str]
    children: list[Element] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What stands directly in it, without white space around it."""
        return "".join(self.pieces).strip()

    def all(self, name: str) -> Iterator[Element]:
        """Its children of that name."""
        return (child for child in self.children if child.name == name)

    def first(self, *path: str) -> Element | None:
        """The first element below it along the path."""
        found: Element | None = self
        for name in path:
            found = None if found is None else next(found.all(name), None)
        return found

    def child_text(self, name: str) -> str:
        """The text of the first child of that name, "" without one."""
        child = self.first(name)
        return "" if child is None else child.text


def parse_xml(document: bytes) -> Element:
    """The root element of a document.

    Raises RemoteProtocolError for what is not well-formed, has a DTD, or is larger or deeper than such documents are.
    """
    if len(document) > MAX_XML_BYTES:
        raise RemoteProtocolError(f"the XML document is longer than {MAX_XML_BYTES} bytes")
    builder = _Builder()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = _refuse_dtd
    try:
        parser.Parse(document, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        # LookupError and ValueError: an encoding that nobody knows, or that is none of characters.
        raise RemoteProtocolError("the XML document is not well-formed") from error
    if builder.root is None:
        raise RemoteProtocolError("the XML document is empty")
    return builder.root


def _refuse_dtd(*_declaration: object) -> None:
    # Entities that expand without end, or into files of this machine, need a DTD.
    raise RemoteProtocolError("the XML document has a DTD")


class _Builder:
    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > _MAX_ELEMENTS or len(self._open) >= _MAX_DEPTH:
            raise RemoteProtocolError("the XML document has too many elements, or too many in each other")
        element = Element(name.rpartition(" ")[2], attributes)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, _name: str) -> None:
        self._open.pop()

    def text(self, data: str) -> None:
        self._open[-1].pieces.append(data)
