"""``@frozen`` is a frozen dataclass in everything but its price."""

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from agent.model.fastclass import UNCOMPILED, field_specs, frozen, is_record_class, mutable, replace


@frozen
class Base:
    evse: int


@frozen
class Child(Base):
    """With a docstring."""

    name: str = "x"
    values: Mapping[str, int] = field(default_factory=dict)

    @property
    def double(self) -> int:
        return self.evse * 2


@dataclass(frozen=True, slots=True)
class Twin:
    evse: int
    name: str = "x"


@frozen
class Secret:
    user: str
    password: str = field(default="p", repr=False)


@frozen
class Empty:
    pass


@mutable
class Record:
    evse: int
    found: list[int] = field(default_factory=list)
    note: str = ""

    def add(self, number: int) -> None:
        self.found.append(number)


@dataclass(slots=True)
class RecordTwin:
    evse: int
    found: list[int] = field(default_factory=list)
    note: str = ""


def test_made_compared_hashed_shown():
    a = Child(1, "y")
    assert (a.evse, a.name, a.values, a.double) == (1, "y", {}, 2)
    assert a == Child(evse=1, name="y")
    assert a != Child(2, "y")
    assert a != Base(1)
    assert Base(1) == Base(1)
    assert hash(Base(1)) == hash(Base(1))
    assert repr(a) == "Child(evse=1, name='y', values={})"
    assert Child.__doc__ == "With a docstring."
    assert Empty() == Empty()
    assert Empty() != Base(1)


def test_each_gets_its_own_default():
    assert Child(1).values is not Child(1).values


def test_fixed_and_slotted():
    a = Base(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        a.evse = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del a.evse
    with pytest.raises(dataclasses.FrozenInstanceError):
        a.other = 2  # type: ignore[attr-defined]
    assert not hasattr(a, "__dict__")


def test_wrong_arguments():
    with pytest.raises(TypeError):
        Base()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Base(1, 2)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Base(evse=1, evs=2)  # type: ignore[call-arg]


@pytest.mark.parametrize("make", [frozen, mutable])
def test_the_first_ones_are_as_the_later_ones(make):
    """They are made without a compiled ``__init__``."""

    @make
    class Few:
        evse: int
        name: str = "x"
        values: list[int] = field(default_factory=list)

    made = []
    for n in range(3 * UNCOMPILED):
        made += [Few(n), Few(evse=n), Few(n, name="x"), Few(n, "x", [])]
        for wrong in ((lambda: Few()), (lambda: Few(1, "", [], 2)), (lambda: Few(1, evse=2)), (lambda: Few(1, no=2))):
            with pytest.raises(TypeError, match=r"__init__\(\)"):
                wrong()
    assert all(made[n] == made[n - n % 4] for n in range(len(made)))
    assert len({id(one.values) for one in made}) == len(made)


def test_a_default_is_no_default_of_its_child():
    @frozen
    class Parent:
        name: str = "x"

    @frozen
    class Strict(Parent):
        name: str = field(repr=False)
        other: int = 3

    assert Parent().name == "x"
    assert repr(Strict("y")).endswith("Strict(other=3)")
    with pytest.raises(TypeError, match="name"):
        Strict()


def test_replaced_and_looked_at_without_a_class_made_for_it():
    @frozen
    class Never(Child):
        more: int = 3

    a = Never(1, "y")
    assert replace(a, evse=3) == Never(3, "y")
    assert replace(a) == a
    with pytest.raises(TypeError, match="none"):
        replace(a, none=1)
    spec = field_specs(Never)
    assert list(spec) == ["evse", "name", "values", "more"]
    assert (spec["name"].name, spec["name"].type, spec["name"].default) == ("name", str, "x")
    assert spec["values"].default_factory is dict
    assert (is_record_class(Never), is_record_class(Twin), is_record_class(int)) == (True, True, False)
    assert not isinstance(vars(Never)["__dataclass_fields__"], dict)  # ``dataclasses`` was not used
    assert replace(Twin(1), name="z") == Twin(1, "z")
    assert list(field_specs(Twin)) == ["evse", "name"]


def test_matches_by_position():
    match Child(1, "y"):
        case Child(number, name):
            assert (number, name) == (1, "y")
        case _:
            raise AssertionError


def test_the_functions_of_dataclasses_work():
    assert dataclasses.is_dataclass(Child)
    assert [f.name for f in dataclasses.fields(Child)] == ["evse", "name", "values"]
    assert dataclasses.replace(Child(1), evse=3) == Child(3)
    assert dataclasses.asdict(Child(1)) == {"evse": 1, "name": "x", "values": {}}
    mine, theirs = dataclasses.fields(Child)[:2], dataclasses.fields(Twin)
    assert [(f.name, f.default, f.default_factory) for f in mine] == [
        (f.name, f.default, f.default_factory) for f in theirs
    ]
    assert [f.name for f in dataclasses.fields(Base(1))] == ["evse"]


def test_a_quiet_field_is_not_shown():
    assert "geheim" not in repr(Secret("u", "geheim"))
    assert Secret("u").password == "p"


def test_copied_and_pickled():
    a = Child(1, "y", {"k": 1})
    assert copy.deepcopy(a) == a
    assert pickle.loads(pickle.dumps(a)) == a


def test_its_arguments_are_known_before_one_is_made():
    @frozen
    class Fresh:
        evse: int
        name: str = "x"

    assert str(inspect.signature(Fresh)) == "(evse, name='x')"
    assert Fresh(1) == Fresh(1, "x")
    assert str(inspect.signature(Fresh)) == "(evse, name='x')"


def test_a_record_is_a_slotted_dataclass():
    a = Record(1)
    a.add(3)
    a.note = "y"
    assert a == Record(1, [3], "y")
    assert a != Record(1)
    assert repr(a).endswith("Record(evse=1, found=[3], note='y')")
    assert Record(2).found is not Record(2).found
    assert not hasattr(a, "__dict__")
    with pytest.raises(AttributeError):
        a.other = 1  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="unhashable"):
        hash(a)
    assert dataclasses.asdict(a) == dataclasses.asdict(RecordTwin(1, [3], "y"))
    assert dataclasses.replace(a, evse=2) == Record(2, [3], "y")
    assert copy.deepcopy(a) == a
    assert pickle.loads(pickle.dumps(a)) == a


def test_a_field_may_be_quiet_and_needed() -> None:
    @frozen
    class Wanted:
        address: str = field(repr=False)
        count: int
        key: str = field(default="", repr=False)

    assert repr(Wanted("secret", 2, "other")) == f"{Wanted.__qualname__}(count=2)"
    with pytest.raises(TypeError, match="address"):
        Wanted(count=1)  # type: ignore[call-arg]
    assert [f.name for f in dataclasses.fields(Wanted)] == ["address", "count", "key"]


@pytest.mark.parametrize("shared", [[], {}, set()])
def test_a_default_that_all_instances_would_share_is_refused(shared: object) -> None:
    body = {"__annotations__": {"items": "Any"}, "items": shared}
    with pytest.raises(TypeError, match=r"Shelf\.items: all instances would share this default"):
        frozen(type("Shelf", (), body))


def test_a_class_that_extends_another_is_made_once() -> None:
    made: list[type] = []

    class Noted:
        def __init_subclass__(cls) -> None:
            made.append(cls)

    @frozen
    class Root(Noted):
        evse: int

    made.clear()

    @frozen
    class Extended(Root):
        name: str = "x"

        def shown(self) -> str:
            return f"{super().__repr__()} at {self.evse}"

    assert made == [Extended]
    assert Extended(1).shown().endswith("Extended(evse=1, name='x') at 1")


@pytest.mark.parametrize(("outer", "inner"), [(frozen, mutable), (mutable, frozen)])
def test_frozen_and_not_frozen_are_not_mixed(outer: type, inner: type) -> None:
    with pytest.raises(TypeError, match="Mixed cannot be frozen and extend"):

        @inner
        class Mixed(outer(type("Root", (), {}))):  # type: ignore[misc]
            pass
