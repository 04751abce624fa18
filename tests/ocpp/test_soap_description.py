"""The description of OCPP 1.5 that the tests use says what the official files say, where these are at hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import zeep

from tests.support.soap_descriptions import OF_15, OFFICIAL, OFFICIAL_FILES, SIDES, element_names, wsdl_text


def shape(client: zeep.Client, side: str, name: str) -> list[str]:
    """Every field below an element, with its path, its base type and how often it comes."""
    return [*_fields(client.get_element(f"{{{OF_15.namespace(side)}}}{name}").type, name)]


def _fields(kind: object, path: str) -> list[str]:
    found = []
    for name, element in getattr(kind, "elements", []):
        base = next((c.__name__ for c in type(element.type).__mro__ if c.__module__.endswith("builtins")), "record")
        found.append(f"{path}/{name} {base} {element.min_occurs} {element.max_occurs}")
        found += _fields(element.type, f"{path}/{name}")
        found += [f"{path}/{name}@{attribute}" for attribute, _ in getattr(element.type, "attributes", [])]
    return found


@pytest.mark.skipif(not OFFICIAL, reason="OCPP15_WSDL_DIR does not name the folder of the official files")
@pytest.mark.parametrize("side", SIDES)
def test_the_own_description_says_what_the_official_one_says(side: str, tmp_path: Path) -> None:
    path = tmp_path / "own.wsdl"
    path.write_text(wsdl_text("1.5", side), "utf-8")
    own, official = zeep.Client(str(path)), zeep.Client(str(Path(OFFICIAL) / OFFICIAL_FILES[side]))
    port = next(iter(official.wsdl.services.values())).ports
    operations = {name for p in port.values() for name in p.binding._operations}
    assert operations == set(OF_15.operations[side])
    for action in operations:
        for name in element_names(action):
            assert shape(own, side, name) == shape(official, side, name)


def test_a_shape_shows_every_field(tmp_path: Path) -> None:
    path = tmp_path / "own.wsdl"
    path.write_text(wsdl_text("1.5", "central"), "utf-8")
    found = shape(zeep.Client(str(path)), "central", "meterValuesRequest")
    assert "meterValuesRequest/connectorId Int 1 1" in found
    assert "meterValuesRequest/values/value@unit" in found
