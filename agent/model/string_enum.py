"""Enumerations of texts that cost a tenth of an ``enum.StrEnum`` to make.

An agent has 40 enumerations with 370 members; ``enum`` runs about 60,000 instructions for each member at every
start. A member is its text, and has a ``name`` and a ``value``; ``Kind(text)`` and ``Kind[name]`` return it. Readers
and type checkers see an ``enum.StrEnum``. Two members never have the same text, and none is an ``enum.Enum``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # which type checkers know
    from enum import StrEnum, auto
else:
    from collections.abc import Iterator
    from enum import auto
    from typing import Any

    class _StringEnumType(type):
        def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
            """Make a member of each public text in the body of a class."""
            if bases == (str,):
                return super().__new__(mcs, name, bases, body)
            cls = super().__new__(mcs, name, bases, {**body, "__slots__": ()})
            members = cls._members = {}
            for key, text in body.items():
                if text.__class__ is auto:
                    text = key.lower()
                elif text.__class__ is not str or key.startswith("_"):
                    continue
                if text in members:
                    raise TypeError(f"{name}.{key}: {members[text].name} has the same text")
                members[text] = member = str.__new__(cls, text)
                member.name, member.value = key, text
                setattr(cls, key, member)
            return cls

        def __iter__(cls) -> Iterator[Any]:
            return iter(cls._members.values())

        def __len__(cls) -> int:
            return len(cls._members)

        def __bool__(cls) -> bool:
            return True

        def __contains__(cls, value: object) -> bool:
            return value in cls._members

        def __getitem__(cls, name: str) -> Any:
            for member in cls:
                if member.name == name:
                    return member
            raise KeyError(name)

    class StrEnum(str, metaclass=_StringEnumType):
        __slots__ = ("name", "value")

        def __new__(cls, value: object) -> Any:
            """Return the member with this text. Raises ``ValueError``."""
            try:
                return cls._members[value]
            except (KeyError, TypeError):
                raise ValueError(f"{value!r} is not a valid {cls.__qualname__}") from None

        def __repr__(self) -> str:
            return f"<{self.__class__.__name__}.{self.name}: {self.value!r}>"


__all__ = ["StrEnum", "auto"]
