"""Validation at the edge: everything that is wrong with a request at once, in sentences that name the field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from mailquay.api.errors import Fault


class Model(BaseModel):
    """What a request may hold: unknown keys are refused, strings trimmed, public names are the aliases."""

    model_config = ConfigDict(
        extra="forbid",
        str_strip_whitespace=True,
        populate_by_name=False,
        hide_input_in_errors=True,
        serialize_by_alias=True,
    )


M = TypeVar("M", bound=BaseModel)


def validate(
    kind: type[M], value: object, faults: list[Fault], *, context: Mapping[str, Any] | None = None
) -> M | None:
    """A checked value; None when there are faults, which are added to the list."""
    try:
        return kind.model_validate(value, context=context)
    except ValidationError as error:
        faults.extend(faults_of(error))
        return None


def faults_of(error: ValidationError, prefix: Sequence[str | int] = ()) -> list[Fault]:
    """The faults of one failed validation."""
    found = []
    for detail in error.errors(include_url=False, include_input=False):
        path = ".".join(str(part) for part in (*prefix, *detail["loc"]))
        found.append(Fault(path, f'"{path or "value"}" {_sentence(detail)}'))
    return found


_SENTENCES = {
    "extra_forbidden": "is not allowed",
    "missing": "is required",
    "string_type": "must be a string",
    "string_too_long": "must be at most {max_length} characters long",
    "string_too_short": "must be at least {min_length} characters long",
    "string_pattern_mismatch": "has the wrong form",
    "string_unicode": "must be a string",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "is too large",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be a boolean",
    "less_than_equal": "must be at most {le}",
    "greater_than_equal": "must be at least {ge}",
    "literal_error": "must be one of {expected}",
    "enum": "must be one of {expected}",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "list_type": "must be an array",
    "too_short": "must hold at least {min_length} items",
    "too_long": "must hold at most {max_length} items",
    "none_required": "must be null",
}


def _sentence(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    if detail["type"] == "value_error":
        return str(context["error"])
    template = _SENTENCES.get(detail["type"])
    return template.format(**context) if template is not None else detail["msg"]
