"""What the control API of a simulated station answers, as types (docs/control-api.md, "The picture").

The API's description (OpenAPI) is made of these, and so its contract: keys are added, none is removed or changed. A
class's docstring is the description of its schema.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class AgentPicture(TypedDict):
    """The agent as a process. What only itself knows is null while it is down."""

    up: bool
    pid: int | None
    restarts: int
    version: str | None
    queue: int | None
    screen_language: str | None


class BackendPicture(TypedDict):
    """The connection to the first backend. `error`: why there is none, for a person; `trouble` is its older name."""

    url: str
    link: Literal["up", "down"]
    ocpp: str | None
    boot: str | None
    error: NotRequired[str]
    trouble: NotRequired[str]


class LinkPicture(TypedDict):
    """The road to the backend, or one bearer. `kbit_s` null: no limit; `loss`: share of lost packets, 0 to 1."""

    up: bool
    latency_ms: float
    kbit_s: float | None
    loss: float
    stall: bool
    error: NotRequired[str]
    trouble: NotRequired[str]


class BearerTraffic(TypedDict):
    """What one kind of bearer has taken in the present month (UTC)."""

    kind: str
    metered: bool
    month_bytes: int
    projected_bytes: int | None


class TrafficPicture(TypedDict):
    """The data volume of the present month, and its limits."""

    month: str
    level: Literal["within", "soft", "hard"]
    soft_bytes: int | None
    hard_bytes: int | None
    bearers: list[BearerTraffic]


class ReportedStatus(TypedDict):
    """The last status that was sent to the backend, in the words of the OCPP version in use."""

    status: str
    error: str


class SessionPicture(TypedDict):
    """A running session. `energy_wh`: since its begin; `cost_cents`: what is known of the cost (null: nothing)."""

    id: str
    transaction_id: str | None
    token: str
    energy_wh: int
    cost_cents: int | None


class LastSession(TypedDict):
    """The latest session that ended: what was billed. `cost_final` false: the total is not known yet."""

    id: str
    transaction_id: str | None
    token: str
    started_utc_s: float
    ended_utc_s: float
    energy_wh: int
    cost_cents: int | None
    cost_final: bool
    reason: str


class EvsePicture(TypedDict):
    """One EVSE: the world's truth (`cable` to `faults`), and what the agent knows of it (null while it is down)."""

    number: int
    kind: Literal["AC", "DC"]
    cable: bool
    car: bool
    ready: bool
    cp: str
    pwm: bool
    locked: bool
    contactor: bool
    limit_a: float | None
    limit_w: float | None
    current_a: list[float]
    power_w: int
    meter_wh: int
    soc: int | None
    faults: list[str]
    latched: list[str]
    screen: str | None
    code: str | None
    messages: list[str] | None
    reported: ReportedStatus | None
    told: ReportedStatus | None
    session_state: (
        Literal["Free", "Occupied", "Authorised", "Beginning", "Active", "Ending", "Ended", "Recovering"] | None
    )
    session: SessionPicture | None
    last_session: LastSession | None


class LedgerRow(TypedDict):
    """One booking of a bank behind the payment terminals."""

    terminal_session: int
    cents: int


class LedgerPicture(TypedDict):
    """The books of the banks."""

    holds: list[LedgerRow]
    captures: list[LedgerRow]
    voids: list[LedgerRow]


class DisplayPicture(TypedDict):
    """A simulated panel, with the EVSEs that it serves."""

    evses: list[int]


class LimitPicture(TypedDict):
    """The energy manager that the agent reads. `max_a` null: no limit."""

    max_a: float | None
    manager: Literal["online", "silent"]


class TerminalPicture(TypedDict):
    """A payment terminal. `evse` 0: the station's."""

    evse: int
    state: str
    screen: list[str]
    language: str
    qr: str
    online: bool


class ModemPicture(TypedDict):
    """The simulated modem."""

    faults: list[str]
    signal: int
    signal_dbm: int | None
    registration: str
    operator: str
    iccid: str
    pin_tries: int
    apn: str | None
    connected: bool


class BearerPicture(TypedDict):
    """What the agent knows of a bearer, in order of preference; of a modem also the keys that may be absent."""

    name: str
    kind: str
    state: str
    reason: str
    in_use: bool
    demoted_s: int
    interface: str
    address: str
    sim: NotRequired[str]
    pin_tries: NotRequired[int | None]
    iccid: NotRequired[str]
    registration: NotRequired[str]
    operator: NotRequired[str]
    technology: NotRequired[str]
    signal_dbm: NotRequired[int | None]


class SimulationPicture(TypedDict):
    """This life of the simulation. `run` names it: the `seq` of frames counts from 1 in each."""

    run: str
    speed: float
    built_in_backend: bool


class StationPicture(TypedDict):
    """The whole picture of a simulated station."""

    agent: AgentPicture
    backend: BackendPicture | None
    links: dict[str, LinkPicture]
    traffic: TrafficPicture | None
    mains: bool
    time: str
    lamps: dict[str, str]
    evses: list[EvsePicture]
    buttons: list[str]
    ledger: LedgerPicture
    displays: list[DisplayPicture]
    simulation: SimulationPicture
    limits: NotRequired[LimitPicture]
    terminals: NotRequired[list[TerminalPicture]]
    modem: NotRequired[ModemPicture]
    bearers: NotRequired[list[BearerPicture]]


class HealthPicture(TypedDict):
    """Whether the agent has opened its devices."""

    ready: bool
    error: NotRequired[str]


class FramePicture(TypedDict):
    """An OCPP frame. `t`: seconds since 1970 (UTC); `frame`: the text as it went over the wire, secrets masked;
    `composed`: `POST /composer` has sent it, or it answers such a message: the agent does not know of it."""

    seq: int
    t: float
    dir: Literal["in", "out"]
    link: str
    version: str | None
    frame: str
    composed: NotRequired[bool]


class DoctorPicture(TypedDict):
    """The latest run of the doctor, or the present one as far as it is. A finding is one of `doctor --json`."""

    running: bool
    language: str | None
    judging: dict[str, Any] | None
    rungs: list[dict[str, Any]]
    verdict: str | None
    summary: str | None
    begin_at: str | None
    at: str | None
    error: str


class RecordingPicture(TypedDict):
    """The present recording as far as it is, or the latest one. `steps`: lines of the scenario file `toml`."""

    running: bool
    title: str | None
    deeds: int
    steps: list[str]
    left_out: list[str]
    toml: str


class ComposedAnswer(TypedDict):
    """An answer to a composed message. `t`: seconds since 1970 (UTC) of this machine."""

    t: float
    is_error: bool
    text: str


class ComposedPicture(TypedDict):
    """A composed message. `sender`: the side for which it stands; `malformed` null: it is as it should be."""

    number: int
    sender: Literal["station", "backend"]
    version: str
    action: str
    message_id: str
    malformed: str | None
    t: float
    text: str
    answers: list[ComposedAnswer]


class ComposerPicture(TypedDict):
    """Whether messages can be composed on the present connection (`reason`: why not), and the newest ones."""

    available: bool
    reason: Literal["no_connection", "encrypted", "soap", "unreadable"] | None
    version: str | None
    messages: list[ComposedPicture]


class ActionsPicture(TypedDict):
    """The requests of a version of OCPP, each with the sides that send it."""

    version: str
    actions: dict[str, list[str]]


class RequestForm(TypedDict):
    """A request of OCPP: its JSON Schema without references, and an example."""

    version: str
    action: str
    senders: list[str]
    schema: dict[str, Any]
    example: dict[str, Any]


class EvseHistory(TypedDict):
    """Power and lifetime register of one EVSE, a value for each instant of the whole."""

    number: int
    power_w: list[int]
    meter_wh: list[int]


class HistoryPicture(TypedDict):
    """The last quarter of an hour, a sample a second. `t`: seconds since 1970 (UTC) of this machine."""

    t: list[float]
    evses: list[EvseHistory]


class EventMessage(TypedDict):
    """One message of the WebSocket. `data`: as of the server-sent event of that name; `id`: of a frame `RUN-SEQ`."""

    event: Literal["station", "doctor", "recording", "composer", "frame"]
    id: str | None
    data: dict[str, Any]


class StationEntry(TypedDict):
    """One of the stations of a server. `path`: below it are its page and its API. `picture`: null unless it is running;
    `error`: why it has ended, has not started, or has no picture."""

    id: str
    state: Literal["starting", "running", "ended"]
    error: str
    path: str
    picture: StationPicture | None


class StationsPicture(TypedDict):
    """All stations of a server, in the order in which they were named."""

    stations: list[StationEntry]


class ErrorPicture(TypedDict):
    """Why a call was not carried out, in one line for a person."""

    error: str
