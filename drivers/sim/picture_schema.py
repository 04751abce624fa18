"""JSON Schemas of the pictures that the control API answers, made of their types (``agent/desk/pictures.py``)."""

from __future__ import annotations

import inspect
import types
import typing
from typing import Any, Literal, NotRequired, TypeAlias, Union

Json: TypeAlias = dict[str, Any]

PLAIN_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


class PictureSchemas:
    """The schemas of typed dictionaries by their names. ``place``: where they stand in the document.

    ``closed``: a key that the type does not name is a mistake. A client must not be closed, since keys are added.
    """

    def __init__(self, place: str = "#/components/schemas/", closed: bool = False) -> None:
        self.by_name: dict[str, Json] = {}
        self._place, self._closed = place, closed

    def reference_to(self, picture: type[Any]) -> Json:
        """Return a reference to the schema of a typed dictionary, which is made with all that is in it."""
        name = picture.__name__
        if name not in self.by_name:
            self.by_name[name] = {}  # known before its parts are made, of which one may be like the whole
            self.by_name[name] = self._object_schema(picture)
        return {"$ref": self._place + name}

    def value_schema(self, hint: Any) -> Json:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if hint is Any:
            return {}
        if typing.is_typeddict(hint):
            return self.reference_to(hint)
        if origin is Literal:
            return {"type": "string", "enum": list(arguments)}
        if origin in (Union, types.UnionType):
            return self._union_schema(arguments)
        if origin is list:
            return {"type": "array", "items": self.value_schema(arguments[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.value_schema(arguments[1])}
        return {"type": PLAIN_TYPES[hint]}

    def _object_schema(self, picture: type[Any]) -> Json:
        keys = typing.get_type_hints(picture, include_extras=True)
        plain = {name: typing.get_args(h)[0] if typing.get_origin(h) is NotRequired else h for name, h in keys.items()}
        return {
            "description": inspect.cleandoc(picture.__doc__ or ""),
            "type": "object",
            "properties": {name: self.value_schema(hint) for name, hint in plain.items()},
            "required": [name for name, hint in keys.items() if typing.get_origin(hint) is not NotRequired],
            **({"additionalProperties": False} if self._closed else {}),
        }

    def _union_schema(self, choices: tuple[Any, ...]) -> Json:
        schemas = [self.value_schema(choice) for choice in choices]
        if all(set(schema) == {"type"} for schema in schemas):
            return {"type": [schema["type"] for schema in schemas]}
        return {"anyOf": schemas}
