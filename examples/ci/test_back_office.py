"""Tests of a back office with simulated stations, as a job of continuous integration runs them."""

import subprocess
import sys
from pathlib import Path

import pytest

BACK_OFFICE = Path(__file__).parents[1] / "back_office" / "back_office.py"
CARD = "04A1B2C3D4E5F6"


@pytest.fixture
def back_office():
    """The back office as a process. Its first line of output is its address."""
    argv = [sys.executable, BACK_OFFICE, "0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.fixture
def station(back_office, simulated_station):
    return simulated_station(backend=back_office.stdout.readline().strip(), versions=["1.6"], speed=5)


def test_a_session_is_billed_as_the_meter_counts(back_office, station):
    station.wait_for_status("Available")  # before, the back office cannot be asked for a card
    station.set_meter_register(100_000)
    station.plug_in_vehicle()
    station.tap_contactless_card(CARD)
    station.wait_for_call("StartTransaction")
    station.wait_for_evse(lambda evse: evse["meter_wh"] > 100_020)
    station.tap_contactless_card(CARD)
    station.wait_for_call("StopTransaction")
    billed = station.wait_for_evse(lambda evse: evse["last_session"])["last_session"]
    assert back_office.stdout.readline() == f"CP-1: {billed['energy_wh']} Wh\n"


def test_nothing_is_lost_while_the_road_is_down(station):
    station.wait_for_status("Available")
    station.set_link_condition(up=False)
    station.wait_for_picture(lambda picture: picture["backend"]["link"] == "down")
    station.plug_in_vehicle()
    station.wait_for_evse(lambda evse: evse["cp"] == "B")
    station.set_link_condition(up=True)
    station.wait_for_status("Preparing")
