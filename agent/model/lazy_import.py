"""Modules that other libraries import and the agent does not need: they are loaded only when a name
of theirs is used."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

UNUSED_BY_STATION = ("ast", "locale", "textwrap", "tokenize", "PIL.ExifTags")
"""What other modules import and a station that runs does not ask for: ``inspect`` the parsers, ``subprocess`` the
encoding of pipes with texts, ``traceback`` indentation, Pillow the tags of photographs."""


def load_later(*names: str) -> None:
    """Each of ``names`` becomes an empty module that loads the real one when a name is asked of it that it has not
    (``__getattr__`` of a module, PEP 562). One that is loaded already stays as it is."""
    for name in names:
        if name not in sys.modules:
            sys.modules[name] = _placeholder_module(name)
            parent, _, child = name.rpartition(".")
            if parent in sys.modules:
                setattr(sys.modules[parent], child, sys.modules[name])


def _placeholder_module(name: str) -> ModuleType:
    def load_attribute(attribute: str) -> Any:
        if sys.modules.get(name) is empty:
            del sys.modules[name]
        return getattr(importlib.import_module(name), attribute)

    empty = ModuleType(name)
    empty.__getattr__ = load_attribute  # type: ignore[method-assign]
    return empty
