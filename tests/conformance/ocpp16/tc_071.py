"""Clock-aligned samples: at multiples of the interval since midnight."""

from datetime import datetime

from tests.conformance.ocpp16.play import Play, measurands

EVERY_S = 20


async def test_three_samples(s: Play) -> None:
    wanted = "Energy.Active.Import.Register,Current.Import"
    await s.set(MeterValuesAlignedData=wanted)
    await s.session()
    await s.set(ClockAlignedDataInterval=EVERY_S)

    def heard() -> list[dict[str, object]]:
        return [p["meterValue"][0] for p in s.payloads("MeterValues") if p["connectorId"] == 1]

    await s.heard(lambda: len(heard()) >= 3)
    for one in heard()[:3]:
        samples = list(one["sampledValue"])
        assert {v["context"] for v in samples} == {"Sample.Clock"}
        assert measurands(samples) == set(wanted.split(","))
        assert datetime.fromisoformat(str(one["timestamp"])).timestamp() % EVERY_S < 1, one["timestamp"]
