"""The description of the control API for a browser: each call with its keys and answers, and a form that makes it.

It is made of the OpenAPI document, and needs no network: its style and script are served beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, TypeAlias
from urllib.parse import quote

from aiohttp import web

from drivers.sim.api_routes import HTML, JSON
from drivers.sim.openapi import document_text, openapi_document

Json: TypeAlias = dict[str, Any]

STREAMED = ("send_server_sent_events", "send_socket_events", "send_stations_events", "send_stations_socket")
"""Operations whose answer does not end: the page does not offer to make them."""


class ApiDescription:
    """The handlers. Both texts are made when they are first asked for: a document for each address below which the API
    of this station is served, one page with relative addresses."""

    def __init__(self) -> None:
        self._documents: dict[str, str] = {}
        self._page = ""

    async def get_document(self, request: web.Request) -> web.Response:
        server = quote(request.path.removesuffix("/openapi.json"))
        text = self._documents[server] = self._documents.get(server) or document_text(server)
        return web.Response(text=text, content_type=JSON)

    async def get_page(self, request: web.Request) -> web.Response:
        self._page = self._page or render_api_page(openapi_document())
        return web.Response(text=self._page, content_type=HTML)


def render_api_page(document: Json) -> str:
    """Return the page."""
    groups: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            groups.setdefault(operation["tags"][0], []).append(_part_of_operation(method, path, operation))
    info = document["info"]
    parts = "".join(f"<section><h2>{escape(name)}</h2>{''.join(rows)}</section>" for name, rows in groups.items())
    schemas = "".join(_part_of_schema(name, schema) for name, schema in document["components"]["schemas"].items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])}</title>"
        '<link rel="icon" href="/icon.svg"><link rel="stylesheet" href="/api.css"><script src="/api.js" defer></script>'
        f"</head><body><header><h1>{escape(info['title'])}</h1><p>{_html_of_text(info['description'])}</p>"
        f'<p><a href="openapi.json">OpenAPI document</a>, version {escape(info["version"])}; every path is below the '
        f"address of this page.</p></header><main>{parts}<section><h2>Pictures</h2>{schemas}</section></main>"
        "</body></html>"
    )


def _html_of_text(text: str) -> str:
    """Return a text of the document, whose names stand in backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _part_of_operation(method: str, path: str, operation: Json) -> str:
    name = operation["operationId"]
    answers = "".join(
        f"<li><b>{status}</b> {_html_of_text(answer['description'])}{_note_of_content(answer)}</li>"
        for status, answer in operation["responses"].items()
    )
    return (
        f'<details id="{name}"><summary><b class="{method}">{method.upper()}</b> <code>{escape(path)}</code> '
        f"{_html_of_text(operation['summary'])}</summary>{''.join(_parameter_tables(operation))}"
        f"<h3>Answers</h3><ul>{answers}</ul>{_form_of_call(method, path, operation)}</details>"
    )


def _parameter_tables(operation: Json) -> Iterator[str]:
    given = {p["name"]: {**p["schema"], "description": p["description"]} for p in operation.get("parameters", ())}
    if given:
        yield f"<h3>In the address</h3>{_table_of_keys(given, [n for n in given if n in _names_in_path(operation)])}"
    for schema in _schemas_of_body(operation):
        if schema["properties"]:
            yield f"<h3>Body</h3>{_table_of_keys(schema['properties'], schema.get('required', []))}"


def _names_in_path(operation: Json) -> list[str]:
    return [p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"]


def _schemas_of_body(operation: Json) -> list[Json]:
    schema = operation.get("requestBody", {}).get("content", {}).get(JSON, {}).get("schema")
    forms: list[Json] = schema.get("oneOf", [schema]) if schema else []
    return forms


def _table_of_keys(keys: Mapping[str, Json], required: list[str]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code>{'' if name in required else ' (optional)'}</td>"
        f"<td>{_html_of_text(describe_schema(schema))}</td></tr>"
        for name, schema in keys.items()
    )
    return f"<table><tr><th>key</th><th>what it may be</th></tr>{rows}</table>"


def describe_schema(schema: Json) -> str:
    """Return a schema in words."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(map(describe_schema, schema["anyOf"]))
    kinds = schema.get("type", "any")
    words = [" or ".join(kinds) if isinstance(kinds, list) else str(kinds)]
    if "items" in schema:
        words.append(f"of {describe_schema(schema['items'])}")
    if "enum" in schema:
        words.append("one of " + ", ".join(map(str, schema["enum"])))
    if "properties" in schema:
        words.append("with " + ", ".join(schema["properties"]))
    words += [f"{word} {schema[key]}" for key, word in BOUNDS.items() if key in schema]
    words += [f"default {json.dumps(schema['default'])}"] if "default" in schema else []
    return ", ".join([*words, *([schema["description"]] if "description" in schema else [])])


BOUNDS = {
    "minimum": "at least", "maximum": "at most", "minLength": "shortest", "maxLength": "longest", "pattern": "like",
}  # fmt: skip


def _note_of_content(answer: Json) -> str:
    for content_type, content in answer.get("content", {}).items():
        schema = content.get("schema", {})
        return f": {escape(describe_schema(schema) if '$ref' in schema else content_type)}"
    return ""


def _form_of_call(method: str, path: str, operation: Json) -> str:
    if operation["operationId"] in STREAMED:
        return ""
    name = operation["operationId"]
    fields = "".join(
        f'<label>{p["name"]} <input name="{p["name"]}" data-in="{p["in"]}"'
        f'{" required" if p["required"] else ""} value="{"1" if p["name"] == "n" else ""}"></label>'
        for p in operation.get("parameters", ())
    )
    bodies = _schemas_of_body(operation)
    body = (
        f'<label>Body <textarea name="body" rows="3">{escape(_example_of_body(bodies[0]))}</textarea></label>'
        if bodies
        else ""
    )
    return (
        f'<form data-method="{method.upper()}" data-path="{escape("." + path)}" aria-label="Make the call {name}">'
        f'{fields}{body}<button>Send</button><output tabindex="0"></output></form>'
    )


def _example_of_body(schema: Json) -> str:
    """Return a body with the keys that must be given, and those that have a default."""
    required = [*schema.get("required", ()), *(names["required"][0] for names in schema.get("anyOf", ())[:1])]
    keys = schema["properties"].items()
    return json.dumps({n: _example_of_value(s) for n, s in keys if n in required or "default" in s})


def _example_of_value(schema: Json) -> Any:
    if "default" in schema:
        return schema["default"]
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema["type"][0] if isinstance(schema["type"], list) else schema["type"]
    return {
        "boolean": True,
        "integer": max(1, schema.get("minimum", 1)),
        "number": max(1, schema.get("minimum", 1)),
    }.get(kind, "04A1B2C3D4E5F6" if "pattern" in schema else "")


def _part_of_schema(name: str, schema: Json) -> str:
    table = _table_of_keys(schema["properties"], schema["required"])
    return f"<details><summary><code>{name}</code> {_html_of_text(schema['description'])}</summary>{table}</details>"
