"""The description of the control API in OpenAPI 3.1, made of its routes, its bodies and its pictures."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

from agent import __version__
from agent.desk import pictures
from drivers.sim.api_routes import API_ROUTES, JSON, V1, ApiAnswer, ApiRoute, QueryKey
from drivers.sim.picture_schema import PictureSchemas

Json: TypeAlias = dict[str, Any]

ABOUT = """\
The control API of a simulated charging station: cars, cards, faults, the road to the backend. A POST changes the world
and returns at once; a GET shows the present state. It is a public contract that only grows: a client must accept keys
that it does not know. What each call does in the world: docs/control-api.md.
"""
REFUSALS = {
    400: "The body or the query is wrong; the error names the key and what it must be",
    403: "The station is simulated for another machine or page, or the token is missing",
    404: "This station has no such part",
    409: "Physically impossible in the present state, or the agent does not run",
}
PATH_NAMES: dict[str, Json] = {
    "n": {"description": "The number of an EVSE, from 1", "schema": {"type": "integer", "minimum": 1}},
    "version": {
        "description": "A version of OCPP, such as `2.0.1`",
        "schema": {"type": "string", "minLength": 1},
    },
    "action": {"description": "An action of OCPP", "schema": {"type": "string", "minLength": 1}},
    "name": {
        "description": "A name that the picture lists (`buttons`, `links`)",
        "schema": {"type": "string", "minLength": 1},
    },
}


def openapi_document(server: str = V1) -> Json:
    """Return the document. ``server``: below which every path is; each of several stations has one of its own."""
    schemas = PictureSchemas()
    paths: dict[str, Json] = {}
    for route in API_ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _describe_operation(route, schemas)
    for picture in (pictures.FramePicture, pictures.EventMessage):  # of lines and messages
        schemas.reference_to(picture)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Control API of a simulated charging station",
            "version": __version__,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server}],
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.by_name.items())),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token that `simulate --host` prints; this machine needs none",
                }
            },
        },
    }


def document_text(server: str = V1) -> str:
    """Return the document as it is kept in docs/openapi.json."""
    return json.dumps(openapi_document(server), indent=2, ensure_ascii=False) + "\n"


def _describe_operation(route: ApiRoute, schemas: PictureSchemas) -> Json:
    parameters = [_describe_path_name(name) for name in route.path_names] + list(
        map(_describe_query_key, route.queries)
    )
    return {
        "operationId": route.operation,
        "summary": route.summary,
        "tags": [route.group],
        **({"parameters": parameters} if parameters else {}),
        **({"requestBody": _describe_request_body(route)} if route.bodies else {}),
        "responses": _describe_responses(route, schemas),
    }


def _describe_path_name(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, **PATH_NAMES[name]}


def _describe_query_key(key: QueryKey) -> Json:
    schema = {"type": "integer", "minimum": 0}
    return {"name": key.name, "in": "query", "required": False, "description": key.meaning, "schema": schema}


def _describe_request_body(route: ApiRoute) -> Json:
    schemas = [form.json_schema() for form in route.bodies]
    required = all("required" in schema or "anyOf" in schema for schema in schemas)
    return {
        "required": required,
        "content": {JSON: {"schema": schemas[0] if len(schemas) == 1 else {"oneOf": schemas}}},
    }


def _describe_responses(route: ApiRoute, schemas: PictureSchemas) -> Json:
    """Return the answers of a route by status: its own, and those with which the server refuses such a call."""
    found = {answer.status: answer for answer in route.answers}
    for status in _refusal_statuses(route):
        found.setdefault(status, ApiAnswer(status, REFUSALS[status], JSON, pictures.ErrorPicture))
    return {str(status): _describe_response(answer, schemas) for status, answer in sorted(found.items())}


def _refusal_statuses(route: ApiRoute) -> tuple[int, ...]:
    if route.method == "POST":
        return tuple(REFUSALS)
    return (403, *([400] if route.queries else []), *([404] if route.path_names else []))


def _describe_response(answer: ApiAnswer, schemas: PictureSchemas) -> Json:
    if not answer.content_type:
        return {"description": answer.meaning}
    schema = {"type": "string"} if answer.content_type.startswith("text/") else {}
    if answer.picture is not None:
        schema = schemas.value_schema(answer.picture)
    return {"description": answer.meaning, "content": {answer.content_type: {"schema": schema} if schema else {}}}
