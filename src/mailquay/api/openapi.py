"""The OpenAPI 3.1 document, made from the operations and the schemas that check requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from mailquay.api.operation import Operation
from mailquay.api.schemas.common import PATH_PARAMETERS, Refusal
from mailquay.api.schemas.system import settings_schema
from mailquay.version import __version__

_REFS = "#/components/schemas/{model}"
_TAGS = ("Account", "Mailbox", "Message", "Submit", "Outbox", "Access Tokens", "Settings", "Logs", "Stats", "License")
_HEADERS: dict[str, dict[str, Any]] = {
    "x-ee-timeout": {
        "name": "x-ee-timeout",
        "in": "header",
        "description": "Milliseconds that the mail server may take, instead of the operator's choice.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 7_200_000},
    },
    "idempotency-key": {
        "name": "idempotency-key",
        "in": "header",
        "description": "The same key within a day means the same request.",
        "schema": {"type": "string", "maxLength": 1024},
    },
}
_REFUSALS = {
    "400": "Something is wrong with the request; `fields` says what.",
    "401": "There is no valid token.",
    "403": "The token does not reach that far.",
    "404": "There is no such thing.",
    "414": "The address is too long.",
    "429": "Too many requests with this token.",
    "500": "A defect of the server.",
    "503": "The account cannot be used now; `code` and `state` say why.",
}


def build_openapi(operations: Sequence[Operation], *, max_content: int) -> dict[str, Any]:
    """The document. `max_content` is how many characters a text or a base64 content may have."""
    shown = [operation for operation in operations if operation.documented]
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(Refusal, "serialization")]
    for operation in shown:
        if operation.body is not None:
            wanted.append((operation.body, "validation"))
        if operation.answer is not None:
            wanted.append((operation.answer, "serialization"))
    schemas, definitions = models_json_schema(list(dict.fromkeys(wanted)), by_alias=True, ref_template=_REFS)
    components: dict[str, Any] = definitions.get("$defs", {})
    _bound_contents(components, max_content)
    paths: dict[str, dict[str, Any]] = {}
    for operation in shown:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Mailquay",
            "version": __version__,
            "summary": "JSON over HTTP in front of IMAP and SMTP mailboxes.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "security": [{"bearerAuth": []}],
        "tags": [{"name": tag} for tag in _TAGS],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearerAuth": {"type": "http", "scheme": "bearer"}},
            "schemas": _tidy(components),
        },
    }


def _operation(operation: Operation, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
    }
    if operation.description:
        shown["description"] = operation.description
    shown["parameters"] = _parameters(operation)
    if operation.takes_body:
        schema = operation.body_schema or schemas[(operation.body, "validation")]
        shown["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    shown["responses"] = _responses(operation, schemas)
    if operation.public:
        shown["security"] = []
    else:
        shown |= {"x-ee-action": operation.action, "x-ee-group": operation.group}
    return shown


def _responses(operation: Operation, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"type": "string"}
    if operation.answer is not None:
        answer = schemas[(operation.answer, "serialization")]
    elif operation.id == "getV1Settings":
        answer = settings_schema(shown=True)
    responses: dict[str, Any] = {
        "200": {"description": "Done.", "content": {operation.answer_type: {"schema": answer}}}
    }
    if operation.public:
        return responses
    refusal = {"application/json": {"schema": {"$ref": _REFS.format(model="Refusal")}}}
    named = "{" in operation.path or operation.body is not None
    for status, description in _REFUSALS.items():
        if (status == "404" and not named) or (status == "503" and operation.needs_owner is None):
            continue
        responses[status] = {"description": description, "content": refusal}
    return responses


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters = []
    for segment in operation.path.split("/"):
        if segment.startswith("{"):
            name = segment.strip("{}")
            schema = PATH_PARAMETERS[name].json_schema()
            parameters.append({"name": name, "in": "path", "required": True, "schema": schema})
    if operation.query is not None:
        parameters += _query_parameters(operation.query)
    if not operation.public:
        parameters += [_HEADERS[name] for name in ("x-ee-timeout", *operation.headers)]
    return parameters


def _query_parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    schema = TypeAdapter(query).json_schema(by_alias=True)
    required = schema.get("required", [])
    parameters = []
    for name, field in schema.get("properties", {}).items():
        shown = _tidy(field)
        parameter: dict[str, Any] = {"name": name, "in": "query"}
        if "description" in shown:
            parameter["description"] = shown.pop("description")
        if name in required:
            parameter["required"] = True
        parameters.append({**parameter, "schema": shown})
    return parameters


def _bound_contents(components: dict[str, Any], max_content: int) -> None:
    """The bounds that the operator chooses."""
    whole = ("text", "html", "raw")
    for model, names in (
        ("SubmitMessage", whole),
        ("MessageUpload", whole),
        ("UploadAttachment", ("content",)),
        ("TemplateTexts", ("text", "html")),
    ):
        for name in names:
            components[model]["properties"][name]["maxLength"] = max_content


def _tidy(schema: Any) -> Any:
    """A schema without what says nothing: titles made from names, and defaults of null, which `required` implies."""
    if isinstance(schema, dict):
        return {
            key: _tidy(value)
            for key, value in schema.items()
            if not (key == "default" and value is None) and not (key == "title" and isinstance(value, str))
        }
    return [_tidy(item) for item in schema] if isinstance(schema, list) else schema
