"""Discord's rules for requests: its published API description, and the limits that the description does not hold.

The description is a file of Discord's (github.com/discord/discord-api-spec, ``openapi.json``) that lies beside the
repository or where ``DISCORD_OPENAPI`` says. Called by a fixture that looks at every request of every test.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

DESCRIPTION: Final = Path(
    os.environ.get("DISCORD_OPENAPI", Path(__file__).parents[3] / "shared" / "data" / "discord" / "openapi.json")
)
MOST_FILES: Final = 10
MOST_BYTES: Final = 10 * 1024 * 1024
"""All files of one message; Discord's limit where nobody has boosted a server."""
MOST_CHARACTERS: Final = 2000
MOST_V2_CHARACTERS: Final = 4000
MOST_ROWS: Final = 5
MOST_COMPONENTS: Final = 40
MOST_CHOICES: Final = 25
MOST_NONCE_CHARACTERS: Final = 25
_V2_FLAG: Final = 1 << 15
_V2_TYPES: Final = {9, 10, 11, 12, 13, 14, 17}
_ROW, _BUTTON, _TEXT_INPUT, _TEXT_DISPLAY, _LABEL = 1, 2, 4, 10, 18
_LINK_STYLES: Final = {5, 6}
_MESSAGE_CALLBACKS: Final = {4, 7}
_AUTOCOMPLETE, _MODAL = 8, 9


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it went out; ``files`` are the names and sizes in bytes of what was uploaded with it."""

    method: str
    path: str
    body: Any
    files: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def is_described() -> bool:
    """True where Discord's description is at hand."""
    return DESCRIPTION.is_file()


def complaints(request: Request) -> list[str]:
    """Everything for which Discord would refuse a request."""
    body = request.body if isinstance(request.body, dict) else {}
    found = [*_against_description(request), *_of_files(request)]
    callback, data = body.get("type"), body.get("data") or {}
    if request.path.endswith("/callback"):
        if callback in _MESSAGE_CALLBACKS:
            found += _of_message(data, request.files, is_new=callback == 4)
        elif callback == _MODAL:
            found += _of_modal(data)
        elif callback == _AUTOCOMPLETE and len(data.get("choices", ())) > MOST_CHOICES:
            found.append(f"{len(data['choices'])} choices; {MOST_CHOICES} are the most")
    elif "/messages" in request.path or request.path.startswith("/webhooks/"):
        found += _of_message(body, request.files, is_new=request.method == "POST")
    return [f"{request}: {one}" for one in found]


def walk(components: Any) -> Iterator[dict[str, Any]]:
    """Every component of a tree, parents first."""
    for component in components or ():
        if isinstance(component, dict):
            yield component
            yield from walk(component.get("components"))
            inner = [component[name] for name in ("accessory", "component") if isinstance(component.get(name), dict)]
            yield from walk(inner)


def _of_message(body: Mapping[str, Any], files: Sequence[tuple[str, int]], *, is_new: bool) -> Iterator[str]:
    content, components = body.get("content") or "", body.get("components") or []
    attachments = body.get("attachments") or []
    parts = list(walk(components))
    is_v2 = bool(int(body.get("flags") or 0) & _V2_FLAG)
    if len(content) > MOST_CHARACTERS:
        yield f"{len(content)} characters of content; {MOST_CHARACTERS} are the most"
    if max(len(attachments), len(files)) > MOST_FILES:
        yield f"{max(len(attachments), len(files))} attachments; {MOST_FILES} are the most"
    if len(str(body.get("nonce") or "")) > MOST_NONCE_CHARACTERS:
        yield f"a nonce of more than {MOST_NONCE_CHARACTERS} characters"
    if len(parts) > MOST_COMPONENTS:
        yield f"{len(parts)} components; {MOST_COMPONENTS} are the most"
    if is_v2:
        if content or body.get("embeds") or body.get("poll") or body.get("sticker_ids"):
            yield "content, embeds, a poll or stickers in a message of components"
        text = sum(len(part.get("content", "")) for part in parts if part.get("type") == _TEXT_DISPLAY)
        if text > MOST_V2_CHARACTERS:
            yield f"{text} characters in a message of components; {MOST_V2_CHARACTERS} are the most"
    else:
        if len(components) > MOST_ROWS:
            yield f"{len(components)} rows; {MOST_ROWS} are the most"
        if any(part.get("type") in _V2_TYPES for part in parts):
            yield "components of version 2 without their flag"
    if is_new and not (content.strip() or components or files or any(map(body.get, ("embeds", "poll", "sticker_ids")))):
        yield "an empty message"
    yield from _of_components(parts)
    yield from _of_attachments(attachments, parts, files)


def _of_components(parts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    ids = [part["custom_id"] for part in parts if part.get("custom_id")]
    for custom_id in {one for one in ids if ids.count(one) > 1}:
        yield f"the custom id {custom_id!r} twice"
    for part in parts:
        kind = part.get("type")
        if kind == _ROW:
            buttons = [one for one in part["components"] if one["type"] == _BUTTON]
            if len(buttons) != len(part["components"]) and len(part["components"]) > 1:
                yield "a row with a menu and something else"
        if kind == _BUTTON:
            if not part.get("label") and not part.get("emoji") and part.get("style") != 6:
                yield "a button with neither label nor emoji"
            if (part.get("style") in _LINK_STYLES) == bool(part.get("custom_id")):
                yield "a button with a custom id and a link, or with neither"
        options = part.get("options")
        if options is not None:
            values = [option["value"] for option in options]
            if len(set(values)) < len(values):
                yield "a menu with the same value twice"
            most = part.get("max_values")
            if (1 if most is None else most) > len(options):
                yield "a menu in which more can be chosen than there is"
            if sum(bool(option.get("default")) for option in options) > (1 if most is None else most):
                yield "a menu with more chosen than can be"


def _of_attachments(
    attachments: Sequence[Mapping[str, Any]], parts: Sequence[Mapping[str, Any]], files: Sequence[tuple[str, int]]
) -> Iterator[str]:
    for number, attachment in enumerate(attachments):
        if isinstance(attachment.get("id"), int) and attachment["id"] >= len(files):
            yield f"attachment {number} names an upload that is not there"
    names = {name for name, _ in files} | {one.get("filename") for one in attachments}
    for part in parts:
        for media in (part.get("media"), part.get("file"), *(item["media"] for item in part.get("items") or ())):
            url = (media or {}).get("url", "")
            if url.startswith("attachment://") and url.removeprefix("attachment://") not in names:
                yield f"{url} is not attached"


def _of_modal(modal: Mapping[str, Any]) -> Iterator[str]:
    if not 1 <= len(modal.get("components") or ()) <= MOST_ROWS:
        yield f"a form with {len(modal.get('components') or ())} fields; 1 to {MOST_ROWS} are possible"
    parts = list(walk(modal.get("components")))
    yield from _of_components(parts)
    for part in parts:
        if part.get("type") != _TEXT_INPUT:
            continue
        low, high = part.get("min_length") or 0, part.get("max_length") or MOST_V2_CHARACTERS
        if low > high:
            yield f"the field {part['custom_id']!r} takes {low} to {high} characters"
        if part.get("value") and not low <= len(part["value"]) <= high:
            yield f"the field {part['custom_id']!r} holds {len(part['value'])} characters, of {low} to {high}"


def _of_files(request: Request) -> Iterator[str]:
    total = sum(size for _, size in request.files)
    if total > MOST_BYTES:
        yield f"{total} bytes of files; {MOST_BYTES} are the most"
    names = [name for name, _ in request.files]
    if len(set(names)) < len(names):
        yield "two files of one name"


def _against_description(request: Request) -> Iterator[str]:
    operation = _operation(request.method, request.path)
    if operation is None:
        yield "Discord describes no such request"
        return
    contents = (operation.get("requestBody") or {}).get("content") or {}
    if request.body is None or "application/json" not in contents:
        return
    yield from _against_schema(operation["operationId"], json.dumps(_without_words(request.body)))


def _without_words(body: Any) -> Any:
    """A body with the content of its message left out, whose length is looked at elsewhere: requests that say other
    things in the same form are checked once."""
    if not isinstance(body, dict):
        return body
    plain = {
        name: "…" if name == "content" and isinstance(value, str) and value else value for name, value in body.items()
    }
    return plain | {"data": _without_words(body["data"])} if "data" in body else plain


@cache
def _against_schema(operation_id: str, body: str) -> tuple[str, ...]:
    complaints = []
    for error in _validator(operation_id).iter_errors(json.loads(body)):
        cause = _cause(error)
        message = cause.message
        shown = message if len(message) < 500 else f"{message[:250]} … {message[-250:]}"
        complaints.append(f"{cause.json_path}: {shown}")
    return tuple(complaints)


def _cause(error: ValidationError) -> ValidationError:
    """The innermost error: of several alternatives, that of the one for components or callbacks of this type."""
    alternatives: dict[Any, list[ValidationError]] = {}
    for one in error.context or ():
        alternatives.setdefault(one.relative_schema_path[0], []).append(one)
    of_this_type = [errors for errors in alternatives.values() if not any(map(_is_of_another_type, errors))]
    return _cause(of_this_type[0][0]) if len(of_this_type) == 1 else error


def _is_of_another_type(error: ValidationError) -> bool:
    return (list(error.relative_path) == ["type"] and error.validator in {"const", "enum"}) or error.validator == "type"


@cache
def _description() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(DESCRIPTION.read_text())
    # discord.py writes the ids of uploads and of recipients as whole numbers, which Discord takes too.
    content["components"]["schemas"]["SnowflakeType"]["type"] = ["string", "integer"]
    return content


@cache
def _validator(operation_id: str) -> Draft202012Validator:
    operation = next(
        one
        for methods in _description()["paths"].values()
        for one in methods.values()
        if isinstance(one, dict) and one.get("operationId") == operation_id
    )
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    whole = Resource.from_contents(
        {"$id": "urn:discord", "components": _description()["components"]}, default_specification=DRAFT202012
    )
    return Draft202012Validator(_absolute(schema), registry=Registry().with_resource("urn:discord", whole))


def _absolute(schema: Any) -> Any:
    """The schema with references into the description by its name."""
    if isinstance(schema, list):
        return [_absolute(one) for one in schema]
    if isinstance(schema, dict):
        return {name: f"urn:discord{value}" if name == "$ref" else _absolute(value) for name, value in schema.items()}
    return schema


def _operation(method: str, path: str) -> dict[str, Any] | None:
    """The description of the most literal path that fits."""
    wanted = path.strip("/").split("/")
    best: tuple[int, dict[str, Any]] | None = None
    for template, methods in _description()["paths"].items():
        parts = template.strip("/").split("/")
        if len(parts) != len(wanted) or method.lower() not in methods:
            continue
        literal = sum(one == other for one, other in zip(parts, wanted, strict=True))
        fits = all(one == other or one.startswith("{") for one, other in zip(parts, wanted, strict=True))
        if fits and (best is None or literal > best[0]):
            best = literal, methods[method.lower()]
    return None if best is None else best[1]
