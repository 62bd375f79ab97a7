"""Facts about an API from its OpenAPI description: names, places, bounds and codes, and no prose.

`python -m tests.golden.contract_facts DESCRIPTION.json` writes `contract_facts.json` and `permissions.json` beside this
file, from a description of the EmailEngine API. The tests flatten our own description in the same way.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
BOUNDS = ("type", "format", "enum", "minimum", "maximum", "minLength", "maxLength", "pattern", "nullable")
_MAX_DEPTH = 8


def flatten(
    schema: dict[str, Any], document: dict[str, Any], name: str = "", depth: int = 0
) -> Iterator[tuple[str, Any]]:
    """Every field below a schema as (dotted name, bounds); items of arrays have [] at the end of their name."""
    schema = _resolved(schema, document)
    if depth > _MAX_DEPTH:
        return
    for key, value in schema.get("properties", {}).items():
        inner = _resolved(value, document)
        path = f"{name}.{key}" if name else key
        bounds = {bound: inner[bound] for bound in BOUNDS if bound in inner}
        if inner.get("x-single"):
            bounds["single"] = True
        if inner.get("x-allowFalse"):
            bounds["allowFalse"] = True
        if key in schema.get("required", ()):
            bounds["required"] = True
        yield path, bounds
        if "items" in inner:
            item = _resolved(inner["items"], document)
            yield f"{path}[]", {bound: item[bound] for bound in BOUNDS if bound in item}
            yield from flatten(item, document, f"{path}[]", depth + 1)
        else:
            yield from flatten(inner, document, path, depth + 1)


def _resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """A schema without references; of alternatives with null the other one, marked nullable."""
    while "$ref" in schema:
        node: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            node = node[part]
        schema = {**node, **{key: value for key, value in schema.items() if key != "$ref"}}
    if "const" in schema:
        schema = {**schema, "enum": [schema["const"]]}
    kinds = schema.get("anyOf")
    if kinds is not None:
        others = [kind for kind in kinds if kind.get("type") != "null" and "const" not in kind]
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        if len(others) == 1:
            return {**_resolved(others[0], document), **rest, "nullable": True}
    return schema


def facts(document: dict[str, Any]) -> dict[str, Any]:
    """The facts of every operation, by operation id."""
    found: dict[str, Any] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            answer = _content(_resolved(operation["responses"]["200"], document))
            found[operation["operationId"]] = {
                "method": method.upper(),
                "path": path,
                "action": operation.get("x-ee-action"),
                "group": operation.get("x-ee-group"),
                "parameters": dict(sorted(_parameters(operation, document))),
                "body": None if body is None else dict(sorted(flatten(body, document))),
                "answer": [name for name, _ in sorted(flatten(answer, document))],
                "codes": sorted(operation["responses"]),
            }
    return found


def _content(response: dict[str, Any]) -> dict[str, Any]:
    kinds = list(response.get("content", {}).values())
    schema: dict[str, Any] = kinds[0]["schema"] if kinds else {}
    return schema


def _parameters(operation: dict[str, Any], document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for one in operation.get("parameters", ()):
        parameter = _resolved(one, document)
        schema = _resolved(parameter.get("schema", {}), document)
        bounds = {bound: schema[bound] for bound in BOUNDS if bound in schema}
        if parameter.get("required"):
            bounds["required"] = True
        yield parameter["name"], {"in": parameter["in"], **bounds}


def main() -> int:
    """Write the two files."""
    document = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    found = facts(document)
    permissions = {
        name: {"method": one["method"], "path": one["path"], "action": one["action"], "group": one["group"]}
        for name, one in sorted(found.items())
    }
    for name, value in (("contract_facts.json", dict(sorted(found.items()))), ("permissions.json", permissions)):
        (FOLDER / name).write_text(_lines(value), encoding="utf-8")
    return 0


def _lines(value: dict[str, Any]) -> str:
    """JSON with one operation in a line, so that differences can be read."""
    lines = [f"{json.dumps(key)}: {json.dumps(one, ensure_ascii=False)}" for key, one in value.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    sys.exit(main())
