// The page of a simulated station. It knows only the control API (docs/control-api.md) and keeps no state of its own
// beyond what is on the screen: a reload shows the same. Its texts are in texts.json (texts.js); what the table does not
// have is a word of OCPP, of the fault catalogue or of the station itself.
"use strict";

const API = "api/v1/"; // below the address of the page: that of its station
const CARDS = [
  { id: "alice", uid: "04A1B2C3D4E5F6", card: "desfire_ev1", look: "green" },
  { id: "bob", uid: "04B0B123456780", card: "desfire_ev1", look: "blue" },
  { id: "fleet", uid: "F1EE7A01", card: "classic", look: "violet" },
  { id: "blocked", uid: "B10C0C0D", card: "classic", look: "red" },
  { id: "unknown", uid: "BAD0CA4D", card: "classic", look: "grey" },
  { id: "random", uid: "08C0FFEE", card: "random_uid", look: "amber" },
];
const BANK_CARDS = [
  { id: "pays", last4: "1234", behaviour: "approve", look: "steel" },
  { id: "broke", last4: "0009", behaviour: "insufficient_funds", look: "steel" },
  { id: "partly", last4: "5678", behaviour: "partial", look: "steel" },
  { id: "hasty", last4: "4242", behaviour: "timeout", look: "steel" },
];
const PROFILES = { AC: ["normal", "single_phase", "sleepy", "stays_c", "greedy"], DC: ["dc400", "dc800"] };
const FAULTS = ["EmergencyStop", "GroundFailure", "HighTemperature", "OverCurrentFailure", "ConnectorLockFailure", "UnlockFailure",
  "ContactorWelded", "DiodeFault", "MeterSilent", "ReaderSilent", "TerminalSilent", "DoorOpen"];
const MORE_FAULTS = ["ResidualCurrentTestFailed", "OverVoltage", "UnderVoltage", "PowerLoss", "ContactorStuckOpen", "PilotFault",
  "ProximityFault", "CableRejected", "VentilationRefused", "TemperatureDerating", "PlugOverTemperature", "Tilt", "BoardSilent",
  "MeterImplausible", "MeterExchanged", "MREC6UnderVoltage"];
const BEARERS = ["lan", "wifi", "gprs"];
const MODEM_FAULTS = ["no_sim", "wrong_pin", "puk", "other_sim", "denied", "searching", "no_signal", "detach", "wrong_apn", "auth_refused",
  "ipcp_refused", "hang", "garbage", "vanish", "brown_out"];
const MODEM_EVENTS = ["brown_out"];
const BARS_DBM = [-108, -100, -90, -80, -70];
const SPEEDS = [1, 10];
const CHATTER = ["Heartbeat", "MeterValues"];
const HISTORY_S = 180;
const ROWS = 2000;
const GATHER_MS = 50;
const RELISTEN_MS = 2000;
const REST_MS = 500;

const $ = (id) => document.getElementById(id);
const bays = new Map();
let station = null;
let tapAt = null;

// --- to the station ---------------------------------------------------------------------------------------------

async function post(path, body) {
  try {
    const answer = await fetch(API + path, { method: "POST", body: JSON.stringify(body) });
    if (!answer.ok) toast((await answer.json()).error, "en");
    return answer.ok;
  } catch {
    toast(phrase("no_answer"));
    return false;
  }
}

let toastTimer = 0;
function toast(text, language = pageLanguage) {
  $("toast").lang = language;
  $("toast").textContent = text;
  $("toast").classList.add("shown");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => $("toast").classList.remove("shown"), 6000);
}

// --- the bays ---------------------------------------------------------------------------------------------------

class Bay {
  constructor(number) {
    this.number = number;
    this.root = templateCopy("bay");
    this.root.dataset.testid = `bay-${number}`;
    this.root.id = `outlet-${number}`;
    this.history = [];
    this.etag = null;
    this.evse = null;
    this.wire();
    $("bays").append(this.root);
  }

  q(selector) { return this.root.querySelector(selector); }

  wire() {
    const n = this.number;
    this.q(".scene").setAttribute("aria-label", phrase("outlet_scene", { number: n }));
    for (const name of ["reported", "power", "energy", "plug", "unplug", "unplug-ev", "ready", "cp", "lock", "contactor", "cost", "meter", "chart",
      "says", "outlet-button", "code", "clear-latched", "fold", "to-cards"]) {
      this.q(`.${name}`).dataset.testid = `${name}-${n}`;
    }
    this.q(".socket").dataset.testid = `socket-${n}`;
    this.q(".car-hit").dataset.testid = `car-${n}`;
    this.q(".screen").dataset.testid = `screen-${n}`;
    this.q(".plug").onclick = () => this.plug();
    this.q(".unplug").onclick = () => post(`evses/${n}/unplug`, { side: "station" });
    this.q(".outlet-button").onclick = () => post(`buttons/outlet-${n}`, {});
    this.q(".outlet-button").textContent = phrase("outlet_button", { number: n });
    this.q(".clear-latched").onclick = () => post(`evses/${n}/clear`, {});
    this.q(".unplug-ev").onclick = () => post(`evses/${n}/unplug`, { side: "ev" });
    this.q(".ready").onclick = () => post(`evses/${n}/ev`, { ready: !this.evse.ready });
    this.q(".fold").onclick = () => this.fold(!this.root.classList.contains("folded"));
    this.fold(false);
    this.q(".to-cards").onclick = () => chooseTapPlace(n);
    pressable(this.q(".socket"), () => this.toggle());
    pressable(this.q(".car-hit"), () => this.toggle());
    pressable(this.q(".screen"), () => this.zoom());
    const form = this.q(".car-form");
    form.profile.onchange = () => this.suggest(form);
    form.max_a.onchange = () => {
      if (this.evse && this.evse.car && form.max_a.reportValidity()) post(`evses/${n}/ev`, { max_a: Number(form.max_a.value) });
    };
    form.onsubmit = (e) => e.preventDefault();
    this.q(".fault-buttons").append(...FAULTS.map((name) => this.faultButton(name)));
    this.q(".fault-form").onsubmit = (e) => {
      e.preventDefault();
      this.fault(e.target.fault.value.trim());
    };
  }

  outfit({ kind }) {
    const form = this.q(".car-form");
    this.q(".name").textContent = phrase(kind === "DC" ? "outlet_name_dc" : "outlet_name", { number: this.number });
    form.profile.append(...PROFILES[kind].map((p) => new Option(phrase(`car_profile_${p}`), p)));
    form.phases.parentElement.hidden = kind === "DC";
    this.suggest(form);
  }

  suggest(form) {
    form.phases.value = form.profile.value === "single_phase" ? "1" : "3";
    form.max_a.value = { single_phase: 32, dc400: 400, dc800: 350 }[form.profile.value] || 16;
  }

  faultButton(name) {
    const button = document.createElement("button");
    button.textContent = phrase(`fault_${name}`);
    button.title = name;
    button.dataset.fault = name;
    button.dataset.testid = `fault-${name}-${this.number}`;
    button.onclick = () => this.fault(name);
    return button;
  }

  fault(name) { post(`evses/${this.number}/fault`, { fault: name, active: !this.evse.faults.includes(name) }); }

  toggle() {
    if (this.evse && this.evse.cable && this.evse.car) post(`evses/${this.number}/unplug`, { side: "station" });
    else this.plug();
  }

  plug() {
    const form = this.q(".car-form");
    if (!form.reportValidity()) return;
    const car = { profile: form.profile.value };
    for (const key of ["phases", "max_a", "capacity_kwh", "soc"]) car[key] = Number(form[key].value);
    post(`evses/${this.number}/plug`, { ready: form.ready.checked, car });
  }

  zoom() {
    if (!this.etag) return;
    $("zoom-image").src = `${API}display/${this.number}.png?e=${this.etag}`;
    $("zoom").dataset.bay = this.number;
    $("zoom").showModal();
  }

  show(evse, whole) {
    const before = this.evse;
    this.evse = evse;
    if (!before) this.outfit(evse);
    this.placeScreen(whole.displays || []);
    const flowing = evse.power_w > 0;
    this.root.dataset.lamp = whole.lamps[String(this.number)] || "off";
    const states = {
      "has-cable": evse.cable, "has-car": evse.car, hangs: evse.car && !evse.cable, locked: evse.locked,
      "contactor-closed": evse.contactor, energised: flowing, "dark-site": !whole.mains,
    };
    for (const [name, on] of Object.entries(states)) this.root.classList.toggle(name, Boolean(on));
    this.root.style.setProperty("--flow-time", `${Math.max(0.25, 1.6 - evse.power_w / 12000)}s`);
    this.cable(evse);
    this.battery(evse);
    this.reported(evse);
    this.screen(evse, whole);
    this.figures(evse);
    this.chips(evse);
    this.latched(evse);
    this.buttons(evse);
  }

  cable({ cable, car }) {
    const [path, x, y] = cable && car ? ["M176 226 C178 322 246 340 272 264", 272, 264]
      : cable ? ["M176 226 C178 300 206 326 240 324", 240, 324] : ["M272 264 C262 330 226 312 214 326", 272, 264];
    this.q(".sheath").setAttribute("d", path);
    this.q(".flow").setAttribute("d", path);
    this.q(".plug-b").setAttribute("cx", x);
    this.q(".plug-b").setAttribute("cy", y);
  }

  battery({ soc }) {
    this.q(".charge").setAttribute("width", soc == null ? 0 : Math.max(2, 0.7 * soc));
    this.q(".soc").textContent = soc == null ? "" : `${Math.round(soc)} %`;
  }

  reported({ reported: status }) {
    const tag = this.q(".reported");
    tag.textContent = status ? status.status + (status.error && status.error !== "NoError" ? ` · ${status.error}` : "") : "–";
    tag.dataset.status = status ? status.status : "";
  }

  // What the picture of the screen says, for those who do not see it; and what a finger or a telephone does there.
  screen({ screen, code }, { buttons }) {
    const says = screen ? phrase("screen_says", { state: phraseOfWord("screen", screen) }) : phrase("screen_no_agent");
    if (this.q(".says").textContent !== says) this.q(".says").textContent = says;
    const enlarge = this.screenOf.length > 1 ? "screen_enlarge_many" : "screen_enlarge_one";
    this.q(".screen").setAttribute("aria-label", phrase(enlarge, { says, numbers: this.screenOf.join(", ") }));
    this.root.classList.toggle("asked", screen === "choose_outlet");
    this.q(".outlet-button").hidden = !buttons.includes(`outlet-${this.number}`);
    const link = this.q(".code");
    const leads = /^https?:\/\//i.test(code || "");
    link.hidden = !leads;
    if (!leads) link.removeAttribute("href");
    else if (link.getAttribute("href") !== code) {
      link.href = code;
      link.textContent = phrase(screen === "finished" ? "screen_receipt" : "screen_payment");
    }
  }

  // Of the session that runs; then of the last one, as it is billed.
  figures({ power_w, meter_wh, session, last_session }) {
    const shown = session || last_session || {};
    this.q(".power").textContent = decimalText(power_w / 1000, 1);
    this.q(".meter").textContent = decimalText(meter_wh / 1000, 2);
    this.q(".energy").textContent = shown.energy_wh == null ? "–" : decimalText(shown.energy_wh / 1000, 3);
    this.q(".cost").textContent = shown.cost_cents == null ? "–" : decimalText(shown.cost_cents / 100, 2);
    const isOpenTotal = last_session && last_session.cost_cents != null && !last_session.cost_final;
    this.root.classList.toggle("over", !session && Boolean(last_session));
    const [energy, cost] = this.root.querySelectorAll(".which");
    energy.textContent = phrase(session || !last_session ? "figure_session" : "figure_last_session");
    cost.textContent = isOpenTotal && !session ? phrase("figure_so_far") : energy.textContent;
  }

  chips(evse) {
    const say = (name, text, on) => {
      this.q(`.${name}`).textContent = text;
      this.q(`.${name}`).classList.toggle("on", Boolean(on));
    };
    const pilot = phrase(`pilot_${/^[A-F]$/.test(evse.cp) ? evse.cp.toLowerCase() : "unknown"}`);
    say("cp", phrase("chip_pilot", { letter: evse.cp || "?", state: pilot }), evse.cp === "C" || evse.cp === "D");
    say("lock", phrase(evse.locked ? "chip_locked" : "chip_unlocked"), evse.locked);
    say("contactor", phrase(evse.contactor ? "chip_contactor_closed" : "chip_contactor_open"), evse.contactor);
    const limit = evse.limit_w != null ? `${round(evse.limit_w / 1000)} kW` : evse.limit_a != null ? `${round(evse.limit_a)} A` : "";
    say("limit", evse.pwm !== false && limit ? phrase("chip_offers", { limit }) : phrase("chip_offers_nothing"), evse.pwm);
    const amps = (evse.current_a || []).map((a) => decimalText(a, 1)).join(" / ");
    say("amps", amps ? `${amps} A` : phrase("chip_no_current"), evse.power_w > 0);
    const list = this.q(".faults");
    if (list.dataset.now !== String(evse.faults)) {
      list.dataset.now = String(evse.faults);
      list.replaceChildren(...evse.faults.map((f) => Object.assign(document.createElement("li"), { textContent: f })));
    }
  }

  latched({ faults, latched }) {
    this.q(".latched").hidden = !latched.length;
    if (!latched.length) return;
    const there = latched.filter((name) => faults.includes(name));
    const hint = there.length ? phrase("latched_active", { names: there.join(", ") }) : phrase("latched_gone", { names: latched.join(", ") });
    if (this.q(".latched .hint").textContent !== hint) this.q(".latched .hint").textContent = hint;
  }

  buttons(evse) {
    this.q(".plug").disabled = evse.cable && evse.car;
    this.q(".unplug").disabled = !evse.cable;
    this.q(".unplug-ev").disabled = !evse.car;
    this.q(".ready").disabled = !evse.car;
    this.q(".ready").setAttribute("aria-pressed", Boolean(evse.ready));
    this.q(".ready").textContent = phrase(evse.ready ? "act_car_asks" : "act_car_pauses");
    const act = evse.cable && evse.car ? "unplug" : "plug";
    this.q(".socket").setAttribute("aria-label", phrase(`socket_${act}`, { number: this.number }));
    this.q(".car-hit").setAttribute("aria-label", phrase(`car_${act}`, { number: this.number }));
    for (const button of this.root.querySelectorAll("[data-fault]")) {
      const on = evse.faults.includes(button.dataset.fault);
      button.classList.toggle("fault-on", on);
      button.setAttribute("aria-pressed", on);
    }
  }

  tapped() {
    this.root.classList.remove("tapped");
    void this.root.offsetWidth; // restarts the animation
    this.root.classList.add("tapped");
  }

  // One panel of several outlets is one picture: at the first of them.
  placeScreen(displays) {
    const { evses } = displays.find((d) => d.evses.includes(this.number)) || { evses: [this.number] };
    this.screenAt = evses[0];
    const here = this.screenAt === this.number;
    this.root.classList.toggle("no-screen", !here);
    this.q(".screen-elsewhere").textContent = here ? "" : phrase("screen_elsewhere", { number: this.screenAt });
    this.screenOf = evses;
  }

  // What a station of many outlets shows of each one at first is its state, and what to do there.
  fold(isFolded) {
    const [button, act] = [this.q(".fold"), phrase(isFolded ? "stations_more" : "stations_less")];
    this.root.classList.toggle("folded", isFolded);
    button.setAttribute("aria-expanded", !isFolded);
    button.setAttribute("aria-label", `${phrase("outlet_name", { number: this.number })}: ${act}`);
    button.textContent = act;
    if (!isFolded && this.evse) this.draw();
  }

  async refreshScreen() {
    if (this.screenAt !== this.number || this.root.classList.contains("folded")) return;
    const url = `${API}display/${this.number}.png`;
    const answer = await fetch(url, { cache: "no-cache" });
    this.root.classList.toggle("has-picture", answer.ok);
    const etag = answer.ok ? answer.headers.get("ETag").replaceAll('"', "") : null;
    if (etag === this.etag) return;
    this.etag = etag;
    const image = this.q("image");
    if (etag) image.setAttribute("href", `${url}?e=${etag}`);
    else image.removeAttribute("href");
    if (etag && $("zoom").open && $("zoom").dataset.bay === String(this.number)) $("zoom-image").src = `${url}?e=${etag}`;
  }

  sample() {
    if (!this.evse) return;
    this.history.push(this.evse.power_w);
    if (this.history.length > HISTORY_S) this.history.shift();
    this.draw();
  }

  draw() {
    const canvas = this.q(".chart");
    const ratio = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(width * ratio)) { canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio); }
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    const [accent, soft, line] = ["--accent", "--soft", "--line"].map((v) => style.getPropertyValue(v));
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const top = niceTop(Math.max(...this.history, 1000));
    const [x, y] = [(i) => width - (this.history.length - 1 - i) * (width / (HISTORY_S - 1)), (w) => height - 2 - (w / top) * (height - 16)];
    pen.strokeStyle = line;
    pen.lineWidth = 1;
    for (const share of [0, 0.5, 1]) { pen.beginPath(); pen.moveTo(0, y(top * share)); pen.lineTo(width, y(top * share)); pen.stroke(); }
    if (this.history.length > 1) {
      pen.beginPath();
      this.history.forEach((w, i) => pen.lineTo(x(i), y(w)));
      pen.strokeStyle = accent;
      pen.lineWidth = 2;
      pen.lineJoin = "round";
      pen.stroke();
      pen.lineTo(width, y(0));
      pen.lineTo(x(0), y(0));
      pen.globalAlpha = 0.18;
      pen.fillStyle = accent;
      pen.fill();
      pen.globalAlpha = 1;
    }
    pen.fillStyle = soft;
    pen.font = "11px system-ui, sans-serif";
    pen.fillText(`${round(top / 1000)} kW`, 0, 10);
    pen.textAlign = "right";
    pen.fillText(phrase("chart_span"), width, 10);
    pen.textAlign = "left";
  }
}

const round = (value) => decimalText(value, 1, { atMost: true });

function niceTop(watts) {
  return [1000, 2000, 4000, 8000, 12000, 24000, 50000, 100000, 150000, 200000, 400000].find((t) => t >= watts) || watts;
}

function pressable(element, act) {
  element.addEventListener("click", act);
  element.addEventListener("keydown", (e) => {
    if (e.key === "Enter" || e.key === " ") { e.preventDefault(); act(); }
  });
}

// --- the whole station ------------------------------------------------------------------------------------------

function show(picture) {
  if (station && station.simulation.run !== picture.simulation.run) forgetFrames();
  station = picture;
  for (const evse of picture.evses) {
    if (!bays.has(evse.number)) bays.set(evse.number, new Bay(evse.number));
    bays.get(evse.number).show(evse, picture);
  }
  $("bays").classList.toggle("single", picture.evses.length === 1);
  offerTapPlaces();
  offerButtons(picture.buttons);
  offerSpeeds(picture.simulation.speed);
  showTill(picture);
  showBearers(picture);
  showRequests(picture);
  showPills(picture);
  $("mains").setAttribute("aria-pressed", picture.mains);
  $("agent-now").textContent = picture.agent.pid
    ? phrase("agent_process", { pid: picture.agent.pid, count: picture.agent.restarts }) : phrase("agent_not_running");
  const road = picture.links.backend || {};
  $("road-now").textContent = [phrase(road.up === false ? "road_is_cut" : road.stall ? "road_is_stalled" : "road_is_open"), picture.backend && picture.backend.url].filter(Boolean).join(" · ");
  $("traffic-now").textContent = trafficWords(picture.traffic);
  showOpenStation(picture);
}

// What the links have taken of the month's data volume, for each kind of bearer.
function trafficWords(traffic) {
  if (!traffic) return "";
  const words = traffic.bearers.map((bearer) => {
    const [size, projected] = [dataVolume(bearer.month_bytes), bearer.projected_bytes];
    const taken = projected === null ? phrase("traffic_month", { size }) : phrase("traffic_projected", { size, projected: dataVolume(projected) });
    if (bearer.kind !== "default") return phrase("traffic_of_bearer", { bearer: phraseOfWord("bearer", bearer.kind), traffic: taken });
    return traffic.bearers.length > 1 ? phrase("traffic_before", { traffic: taken }) : taken;
  });
  if (traffic.level !== "within") words.push(phraseOfWord("traffic", traffic.level));
  return words.join(" · ");
}

function dataVolume(bytes) {
  return bytes < 1e6 ? phrase("traffic_kilobytes", { size: decimalText(bytes / 1e3, 1) }) : phrase("traffic_megabytes", { size: decimalText(bytes / 1e6, 2) });
}

// Those of an outlet are beside its screen.
function offerButtons(names) {
  const box = $("buttons");
  const offered = names.filter((name) => !bays.has(Number(/^outlet-(\d+)$/.exec(name)?.[1])));
  if (box.dataset.names === String(offered)) return;
  box.dataset.names = String(offered);
  box.replaceChildren(...offered.map((name) => {
    const button = Object.assign(document.createElement("button"), { textContent: buttonText(name) });
    button.dataset.testid = name === "language" ? name : `${name}-button`;
    button.onclick = () => post(`buttons/${name}`, {});
    return button;
  }));
}

function buttonText(name) {
  const text = phraseOfWord("button", name);
  return text[0].toUpperCase() + text.slice(1);
}

function offerSpeeds(speed) {
  const speeds = SPEEDS.includes(speed) ? SPEEDS : [...SPEEDS, speed].sort((a, b) => a - b);
  const words = (n) => n === 1 ? phrase("time_real") : phrase("time_times", { count: n });
  choice($("speed"), speeds.map((n) => [n, words(n), `speed-${n}`]), speed, (n) => post("time", { speed: n }));
}

// A radio group: the arrow keys go from one to the other.
function choice(box, options, chosen, choose) {
  const same = box.dataset.options === JSON.stringify(options);
  box.dataset.options = JSON.stringify(options);
  if (!same) {
    box.replaceChildren(...options.map(([value, text, testid]) => {
      const button = Object.assign(document.createElement("button"), { textContent: text });
      button.setAttribute("role", "radio");
      button.dataset.testid = testid;
      button.onclick = () => choose(value);
      button.onkeydown = (e) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
        if (!step) return;
        e.preventDefault();
        const all = [...box.children];
        const next = all[(all.indexOf(button) + step + all.length) % all.length];
        next.focus();
        next.click();
      };
      return button;
    }));
  }
  options.forEach(([value], i) => {
    box.children[i].setAttribute("aria-checked", value === chosen);
    box.children[i].tabIndex = value === chosen ? 0 : -1;
  });
}

function showPills({ agent, backend, mains, simulation }) {
  if (agent.up) pill("agent", "good", phrase("pill_agent_up", { version: agent.version || "" }));
  else pill("agent", "bad", phrase(agent.pid ? "pill_agent_starts" : "pill_agent_down"));
  if (!backend) pill("backend", "", phrase("pill_backend_unknown"));
  else if (backend.link === "up") {
    const boot = backend.boot || phrase("pill_backend_connected");
    pill("backend", backend.boot === "Accepted" ? "good" : "wait", phrase("pill_backend_up", { version: backend.ocpp || "", boot }));
  } else pill("backend", "bad", phrase("pill_backend_away"));
  pill("queue", agent.queue ? "wait" : "", phrase("pill_queue", { count: agent.queue ?? "?" }));
  pill("mains", mains ? "good" : "bad", phrase(mains ? "pill_mains_on" : "pill_mains_lost"));
  pill("time", simulation.speed === 1 ? "" : "wait", phrase("pill_time", { speed: simulation.speed }));
}

function pill(name, mood, text) {
  const element = $(`pill-${name}`);
  element.className = `pill ${mood}`;
  element.textContent = text;
}

// --- cards ------------------------------------------------------------------------------------------------------

function offerTapPlaces() {
  const outlets = [...bays.keys()].map((n) => [n, phrase("tap_at_outlet", { number: n }), `tap-at-${n}`]);
  const places = [[null, phrase("tap_at_any"), "tap-at-any"], ...outlets];
  choice($("tap-at"), places, tapAt, chooseTapPlace);
}

function chooseTapPlace(n) {
  tapAt = n;
  offerTapPlaces();
}

async function tap(body) {
  if (!await post("cards/tap", { ...body, evse: tapAt })) return;
  for (const [n, bay] of bays) if (tapAt === null || tapAt === n) bay.tapped();
}

function cardButton(card, texts, act) {
  const button = document.createElement("button");
  button.className = "card";
  button.dataset.look = card.look;
  button.dataset.testid = `card-${card.id}`;
  const [name, say, uid] = ["strong", "span", "code"].map((tag) => document.createElement(tag));
  [name.textContent, say.textContent, uid.textContent] = [texts.name, texts.note, texts.digits];
  const head = document.createElement("div");
  head.append(name, document.createElement("br"), say);
  button.append(head, uid);
  button.setAttribute("aria-label", phrase(texts.label, texts));
  button.onclick = act;
  return button;
}

function badge(card) {
  const texts = { name: phrase(`card_${card.id}`), note: phrase(`card_${card.id}_note`), digits: card.uid, label: "card_label" };
  return cardButton(card, texts, () => tap({ uid: card.uid, card: card.card }));
}

function bankCard(card) {
  const texts = { name: phrase("bank_card"), note: phrase(`bank_${card.id}`), digits: `•••• ${card.last4}`, label: "bank_card_label" };
  return cardButton(card, texts, () => post("terminal/card", { pan_last4: card.last4, behaviour: card.behaviour, evse: tapAt }));
}

// --- the payment terminal ---------------------------------------------------------------------------------------

function showTill({ terminals = [], ledger }) {
  $("till").hidden = !terminals.length;
  if (!terminals.length) return;
  $("pay-screens").replaceChildren(...terminals.map(payScreen));
  $("bank-link").setAttribute("aria-pressed", terminals.every((t) => t.online));
  const total = (rows) => decimalText(rows.reduce((cents, row) => cents + row.cents, 0) / 100, 2);
  const sum = (rows) => phrase("ledger_sum", { count: rows.length, euros: total(rows) });
  $("ledger").textContent = phrase("ledger_says", { held: sum(ledger.holds), charged: sum(ledger.captures), released: sum(ledger.voids) });
}

function payScreen({ evse, state, screen, language, qr }) {
  const box = document.createElement("div");
  box.className = "pay-screen";
  Object.assign(box.dataset, { state, testid: `pay-screen-${evse}` });
  const [first, ...others] = screen;
  const line = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
  box.append(line("b", first || phrase("terminal_off")), ...others.map((t) => line("span", t)), ...(qr ? [line("code", qr)] : []));
  return box;
}

// --- the bearers ------------------------------------------------------------------------------------------------

// The links of the simulation and the agent's view of its bearers, which is missing while the agent is down.
function showBearers({ links, bearers = [], modem }) {
  const names = Object.keys(links).filter((name) => BEARERS.includes(name.replace(/\d+$/, "")));
  $("bearers").hidden = !names.length;
  if (!names.length) return;
  const seen = {};
  const views = new Map(bearers.map((view) => {
    const count = seen[view.kind] = (seen[view.kind] || 0) + 1;
    return [count > 1 ? view.kind + count : view.kind, view];
  }));
  const list = $("bearer-list");
  if (list.dataset.names !== String(names)) {
    list.dataset.names = String(names);
    list.replaceChildren(...names.map(bearerItem));
  }
  names.forEach((name, i) => showBearer(list.children[i], views.get(name), links[name]));
  $("modem").hidden = !modem;
  if (modem) showModem(modem);
}

function bearerItem(name) {
  const item = templateCopy("bearer");
  const [, kind, number] = /^(\D+)(\d*)$/.exec(name);
  const label = `${phrase(`bearer_${kind}`)} ${number}`.trim();
  item.dataset.testid = `bearer-${name}`;
  item.querySelector(".name").textContent = label;
  for (const [part, change] of [["cut", (link) => ({ up: !link.up })], ["stall", (link) => ({ stall: !link.stall })]]) {
    const button = item.querySelector(`.${part}`);
    button.dataset.testid = `${part}-${name}`;
    button.onclick = () => post(`links/${name}`, change(station.links[name]));
  }
  return item;
}

function showBearer(item, view, link) {
  const use = !view ? "no_agent" : view.in_use && view.state === "up" ? "carries"
    : view.demoted_s ? "demoted" : view.state === "up" ? "ready" : view.state;
  item.dataset.use = use;
  setText(item.querySelector(".use"), phraseOfWord("bearer_use", use));
  const reason = item.querySelector(".says");
  reason.lang = view && view.reason ? "en" : pageLanguage;
  setText(reason, !view ? "" : view.reason || phrase("bearer_address", { address: view.address, interface: view.interface }));
  const radio = view && view.sim !== undefined;
  for (const part of [".radio", ".sim"]) item.querySelector(part).hidden = !radio;
  if (radio) showRadio(item, view);
  const bearer = item.querySelector(".name").textContent;
  const acts = [["cut", !link.up, link.up ? "bearer_cut" : "bearer_restore"], ["stall", link.stall, link.stall ? "bearer_flow" : "bearer_stall"]];
  for (const [part, on, key] of acts) {
    const button = item.querySelector(`.${part}`);
    setText(button, phrase(key));
    button.setAttribute("aria-label", phrase("bearer_act", { act: phrase(key), bearer }));
    button.classList.toggle("fault-on", on);
  }
}

function showRadio(item, { sim, iccid, pin_tries, operator, technology, registration, signal_dbm }) {
  const bars = signal_dbm === null ? 0 : BARS_DBM.filter((dbm) => signal_dbm >= dbm).length;
  const signal = item.querySelector(".signal");
  signal.setAttribute("aria-label", signal_dbm === null ? phrase("signal_unknown") : phrase("signal_bars", { bars, all: BARS_DBM.length }));
  [...signal.children].forEach((bar, i) => bar.classList.toggle("on", i < bars));
  const dbm = signal_dbm === null ? phrase("signal_none") : `${signal_dbm} dBm`;
  const known = [operator, technology, registration && phraseOfWord("registration", registration)].filter((t) => t && t !== "unknown");
  setText(item.querySelector(".network"), [dbm, ...known].join(" · "));
  const tries = pin_tries === null ? "" : phrase("sim_tries", { count: pin_tries });
  const state = phrase("sim_says", { state: phraseOfWord("sim", sim) });
  setText(item.querySelector(".sim"), [state, iccid && `ICCID ${iccid}`, tries].filter(Boolean).join(" · "));
}

function showModem({ faults, signal, signal_dbm, registration, connected }) {
  const link = phrase(connected ? "modem_connected" : "modem_not_connected");
  setText($("modem-now"), phrase("modem_says", { registration: phraseOfWord("registration", registration), link }));
  setText($("signal-out"), signal_dbm === null ? phrase("modem_signal_none") : `${signal_dbm} dBm`);
  if (document.activeElement !== $("signal") && signal <= 31) $("signal").value = signal;
  for (const button of $("modem-faults").children) {
    const on = faults.includes(button.dataset.fault);
    button.classList.toggle("fault-on", on);
    if (!MODEM_EVENTS.includes(button.dataset.fault)) button.setAttribute("aria-pressed", on);
  }
}

function modemFaultButton(name) {
  const button = Object.assign(document.createElement("button"), { textContent: phrase(`modem_fault_${name}`), title: name });
  button.dataset.fault = name;
  button.dataset.testid = `modem-${name}`;
  button.onclick = () => post("modem", { fault: name, active: !station.modem.faults.includes(name) });
  return button;
}

// --- requests of the backend ---------------------------------------------------------------------------------------

// The operations of docs/scenarios.md, each for an outlet.
const REQUESTS = [
  ["start", "remote_start", (evse) => ({ token: CARDS[0].uid, evse })],
  ["stop", "remote_stop", (evse) => ({ transaction: runningTransaction(evse) })],
  ["unlock", "unlock", (evse) => ({ evse })],
  ["inoperative", "availability", (evse) => ({ availability: "inoperative", evse })],
  ["operative", "availability", (evse) => ({ availability: "operative", evse })],
  ["limit", "charging_profile", (evse) => ({ limit_a: 10, evse })],
  ["unlimit", "clear_profiles", () => ({})],
  ["status", "trigger", (evse) => ({ message: "StatusNotification", evse, connector: 1 })],
  ["soft", "reset", () => ({ how: "soft" })],
  ["hard", "reset", () => ({ how: "hard" })],
];

function runningTransaction(number) {
  const { session } = station.evses.find((evse) => evse.number === number);
  const id = session && session.transaction_id;
  return String(station.backend.ocpp).startsWith("1.") ? Number(id) : id;
}

function requestButton([id, operation, make]) {
  const button = Object.assign(document.createElement("button"), { textContent: phrase(`request_${id}`), title: operation });
  button.dataset.testid = `request-${id}`;
  button.onclick = () => {
    const evse = Number($("request-outlet").value);
    if (id === "stop" && !runningTransaction(evse)) toast(phrase("requests_none_runs", { number: evse }));
    else post("backend", { operation, with: make(evse) });
  };
  return button;
}

function showRequests({ evses, simulation, backend }) {
  $("backend").hidden = !simulation.built_in_backend;
  const outlets = $("request-outlet");
  if (outlets.childElementCount !== evses.length) outlets.replaceChildren(...evses.map((evse) => new Option(evse.number)));
  for (const id of ["message-form", "monitor-form"]) $(id).hidden = !backend || !String(backend.ocpp).startsWith("2.");
}

// A monitor of OCPP 2.x on a variable of the outlet (N04); what it finds is in the conversation (NotifyEvent).
function setMonitor(e) {
  e.preventDefault();
  const { variable, type, value, severity } = e.target.elements;
  const component = { name: "EVSE", evse: { id: Number($("request-outlet").value) } };
  const monitor = { component, variable: { name: variable.value }, type: type.value, value: Number(value.value) };
  const setMonitoringData = [{ ...monitor, severity: Number(severity.value) }];
  post("backend", { action: "SetVariableMonitoring", payload: { setMonitoringData } });
}

// One message of block O of OCPP 2.x; a second one takes its place.
const MESSAGE_ID = 1;

function sendMessage(e) {
  e.preventDefault();
  const { text, priority, state } = e.target.elements;
  const when = state.value ? { state: state.value } : {};
  const message = { id: MESSAGE_ID, priority: priority.value, ...when, message: { format: "UTF8", content: text.value } };
  post("backend", { action: "SetDisplayMessage", payload: { message } });
}

// --- the recording ------------------------------------------------------------------------------------------------

let isRecording = false;

function showRecording({ running, title, steps, deeds, left_out }) {
  isRecording = running;
  const toggle = $("recording-toggle");
  setText(toggle, phrase(running ? "recording_end" : "recording_start"));
  toggle.classList.toggle("fault-on", running);
  $("recording-form").elements.title.disabled = running;
  $("recording-file").hidden = running || !deeds;
  const says = phrase(running ? "recording_running" : "recording_done", { title, count: deeds });
  const missing = left_out.length ? phrase("recording_left_out", { calls: left_out.join(", ") }) : "";
  setText($("recording-says"), [says, missing].filter(Boolean).join(". "));
  const list = $("recording-steps");
  list.hidden = !steps.length;
  steps.forEach((step, i) => {
    const item = list.children[i] || list.appendChild(document.createElement("li"));
    if (item.textContent !== step) item.replaceChildren(Object.assign(document.createElement("code"), { textContent: step }));
  });
  while (list.childElementCount > steps.length) list.lastElementChild.remove();
}

// --- the doctor -------------------------------------------------------------------------------------------------

const SEVERITY = ["good", "not judged", "warning", "wrong"];
const worst = (findings) => SEVERITY[Math.max(...findings.map((f) => SEVERITY.indexOf(f.verdict)))];

function showDoctor({ running, language, judging, rungs, verdict, summary, error }) {
  $("doctor-run").disabled = running;
  if (!language) return;
  const says = error || summary || (judging ? `${judging.title} …` : "…");
  setText($("doctor-says"), says);
  $("doctor-says").lang = error ? "en" : language;
  $("doctor-says").dataset.verdict = error ? "wrong" : verdict || "";
  const list = $("rungs");
  list.hidden = !rungs.length;
  list.lang = language;
  rungs.forEach((rung, i) => {
    const item = list.children[i] || list.appendChild(document.createElement("li"));
    const text = JSON.stringify([language, rung, Boolean(judging) && judging.rung === rung.rung]);
    if (item.dataset.shown === text) return;
    item.dataset.shown = text;
    showRung(item, rung, Boolean(judging) && judging.rung === rung.rung);
  });
}

function showRung(item, { rung, title, findings }, isJudged) {
  const verdict = findings.length ? worst(findings) : isJudged ? "at work" : "";
  const verdictText = verdict ? phraseOfWord("verdict", verdict) : "";
  Object.assign(item.dataset, { testid: `rung-${rung}`, verdict });
  const make = (tag, className, text) => Object.assign(document.createElement(tag), { className, textContent: text });
  const head = make("div", "panel-head", "");
  head.append(make("b", "", title), make("span", "verdict", verdictText));
  head.lastChild.lang = pageLanguage;
  const alike = Map.groupBy(findings, (f) => `${f.reason}|${f.to_do}`); // twenty devices that answer are one line
  item.replaceChildren(head, ...[...alike.values()].flatMap((group) => {
    const [{ reason, to_do }] = group;
    const subjects = group.map((f) => f.subject).filter(Boolean).join(", ");
    return [make("p", "", subjects ? `${subjects}: ${reason}` : reason), ...(to_do ? [make("p", "to-do", `→ ${to_do}`)] : [])];
  }));
}

// --- the conversation -------------------------------------------------------------------------------------------

const asked = new Map(); // "dir of the call" + message id -> action
let lastSeq = 0;

function read(frame) {
  let message;
  try { message = JSON.parse(frame.frame); } catch { return readEnvelope(frame.frame); }
  if (!Array.isArray(message)) return { kind: "error", action: phrase("frame_not_ocpp"), payload: message };
  const [type, id] = message;
  const other = frame.dir === "out" ? "in" : "out";
  if (type === 2 || type === 6) {
    asked.set(frame.dir + id, message[2]);
    return { kind: "call", action: message[2], payload: message[3] };
  }
  const action = asked.get(other + id) || phrase("frame_answer");
  if (type === 3) return { kind: "result", action, payload: message[2] };
  return { kind: "error", action: `${action}: ${message[2]}`, payload: { description: message[3], details: message[4] } };
}

// An envelope of SOAP: the element in its body is the message. A text that is cut is shown as it is.
function readEnvelope(text) {
  const root = new DOMParser().parseFromString(text, "text/xml").documentElement;
  const body = [...root.children].find((e) => e.localName === "Body");
  const element = body && body.firstElementChild;
  if (!element) return { kind: "call", action: soapAction(text), payload: text };
  const name = element.localName, payload = xmlFields(element);
  if (name === "Fault") {
    const words = [...element.getElementsByTagNameNS("*", "Value")].map((e) => e.textContent.split(":").pop());
    return { kind: "error", action: `Fault: ${words.join(" ")}`, payload };
  }
  const action = name.replace(/(Request|Response)$/, "");
  return { kind: name.endsWith("Response") ? "result" : "call", action: action[0].toUpperCase() + action.slice(1), payload };
}

// The elements below an element as an object: a list for those that come again, text for those without any below.
function xmlFields(element) {
  const inside = [...element.children], attributes = [...element.attributes].filter((a) => !a.name.startsWith("xmlns"));
  if (!inside.length && !attributes.length) return element.textContent;
  const fields = Object.fromEntries(attributes.map((a) => [a.localName, a.value]));
  if (!inside.length) return { value: element.textContent, ...fields };
  for (const child of inside) {
    const value = xmlFields(child), before = fields[child.localName];
    fields[child.localName] = before === undefined ? value : [before, value].flat();
  }
  return fields;
}

const soapAction = (text) => (/<(?:\w+:)?Body[^>]*>\s*<(?:\w+:)?(\w+)/.exec(text) || [null, "envelope"])[1];

const GIST = ["connectorId", "evseId", "status", "errorCode", "idTag", "transactionId", "meterStart", "meterStop", "reason", "key", "value",
  "type", "eventType", "triggerReason", "seqNo", "chargePointModel", "currentTime", "requestedMessage"];

function gist(payload) {
  if (payload === null || typeof payload !== "object") return "";
  const flat = { ...payload, ...(payload.idTagInfo || payload.idTokenInfo || {}), ...(payload.transactionInfo || {}) };
  if (payload.idToken && payload.idToken.idToken) flat.idTag = payload.idToken.idToken;
  const parts = GIST.filter((k) => ["string", "number", "boolean"].includes(typeof flat[k]) && flat[k] !== "NoError").map((k) => label(k, flat[k]));
  const moment = [payload.meterValue || payload.values || []].flat()[0];
  const sampled = moment && [moment.sampledValue || moment.value || []].flat();
  if (sampled) parts.push(...sampled.slice(0, 2).map((s) => `${s.value} ${s.unit || (s.unitOfMeasure || {}).unit || "Wh"}`));
  return parts.join(" · ");
}

function label(key, value) {
  return { connectorId: `#${value}`, transactionId: `tx ${value}`, meterStart: phrase("frame_from", { value }), meterStop: phrase("frame_to", { value }) }[key] || String(value);
}

const arrived = [];
let gathering = 0;

// The server sends every frame once and in order (docs/control-api.md), after the picture of the run that it is of.
function addFrame(frame) {
  arrived.push(frame);
  gathering ||= setTimeout(showArrived, GATHER_MS);
}

function showArrived() {
  gathering = 0;
  if (CONVERSATION.paused) arrived.splice(0, Math.max(0, arrived.length - ROWS));
  if (CONVERSATION.paused || !arrived.length) return;
  const list = $("frames");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  const frames = arrived.splice(0);
  lastSeq = frames.at(-1).seq;
  list.append(...frames.map((frame) => row(frame, read(frame))));
  while (list.childElementCount > ROWS) list.firstElementChild.remove();
  const hidden = Number(list.firstElementChild.dataset.seq) - 1;
  $("frame-count").textContent = phrase(hidden > 0 ? "conversation_count_cut" : "conversation_count", { count: lastSeq, hidden });
  if (atEnd) list.scrollTop = list.scrollHeight;
  $("latest").hidden = atEnd;
}

function forgetFrames() {
  clearTimeout(gathering);
  [gathering, lastSeq, arrived.length] = [0, 0, 0];
  asked.clear();
  forgetActions();
  forgetLatencies();
  $("frames").replaceChildren();
  $("frame-count").textContent = "0";
}

function row(frame, { kind, action, payload }) {
  const item = document.createElement("li");
  Object.assign(item.dataset, { dir: frame.dir, kind, action, testid: "frame", seq: frame.seq });
  const details = document.createElement("details");
  const summary = Object.assign(document.createElement("summary"), { tabIndex: -1 });
  const arrow = frame.dir === "out" ? "→" : "←";
  const spoken = phrase("frame_says", { direction: phrase(`frame_${frame.dir}`), kind: phrase(`frame_kind_${kind}`) });
  const name = Object.assign(document.createElement("b"), { textContent: `${arrow} ${action}`, title: spoken });
  const short = Object.assign(document.createElement("span"), { className: "gist", textContent: gist(payload) });
  const time = Object.assign(document.createElement("time"), { textContent: clockTime(frame.t) });
  summary.append(name, short, time);
  details.append(summary);
  details.addEventListener("toggle", () => {
    if (details.childElementCount > 1) return;
    const text = typeof payload === "string" ? payload : JSON.stringify(payload, null, 2);
    details.append(Object.assign(document.createElement("pre"), { textContent: text }));
  });
  item.append(details);
  noteFrame(item, frame);
  noteLatency(frame);
  item.hidden = !wanted(item);
  return item;
}

// The conversation is one stop of the tab key; the arrow keys go from frame to frame.
function walkFrames(e) {
  const step = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[e.key];
  if (!step || e.target.closest("pre")) return;
  e.preventDefault();
  const shown = [...$("frames").querySelectorAll("li:not([hidden]) summary")];
  if (!shown.length) return;
  const here = shown.indexOf(document.activeElement);
  const next = here < 0 ? shown.length - 1 : Math.min(shown.length - 1, Math.max(0, here + step));
  shown[next].focus();
}

const clockTime = (seconds) => seconds == null ? "" : new Date(seconds * 1000).toLocaleTimeString("en-GB");
const pressed = (id) => $(id).getAttribute("aria-pressed") === "true";

function wanted(item) {
  if (!isFrameChosen(item)) return false;
  if (!pressed("answers") && item.dataset.kind === "result") return false;
  if (!pressed("chatter") && CHATTER.includes(item.dataset.action)) return false;
  const text = $("filter").value.trim().toLowerCase();
  return !text || item.textContent.toLowerCase().includes(text);
}

function refilter() {
  for (const item of $("frames").children) item.hidden = !wanted(item);
}

// --- start ------------------------------------------------------------------------------------------------------

function listen() {
  const events = new EventSource(`${API}events?since=0&newest=${ROWS}`);
  events.addEventListener("station", (e) => show(JSON.parse(e.data)));
  events.addEventListener("recording", (e) => showRecording(JSON.parse(e.data)));
  events.addEventListener("doctor", (e) => showDoctor(JSON.parse(e.data)));
  events.addEventListener("composer", (e) => showComposer(JSON.parse(e.data)));
  events.addEventListener("frame", (e) => addFrame(JSON.parse(e.data)));
  events.addEventListener("error", () => {
    pill("agent", "bad", phrase("pill_simulation_away"));
    if (events.readyState !== EventSource.CLOSED) return; // the browser connects again by itself
    forgetFrames();
    setTimeout(listen, RELISTEN_MS);
  });
}

async function screens() {
  if (!document.hidden) {
    for (const bay of bays.values()) await bay.refreshScreen().catch(() => {});
  }
  setTimeout(screens, REST_MS);
}

function wirePage() {
  wireComposer();
  wireConversation();
  wirePlots();
  $("cards").append(...CARDS.map(badge));
  $("bank-cards").append(...BANK_CARDS.map(bankCard));
  $("bank-link").onclick = () => post("terminal", { action: pressed("bank-link") ? "offline" : "online" });
  $("own-card").onsubmit = (e) => {
    e.preventDefault();
    const { token, as } = e.target;
    tap(as.value === "token" ? { token: token.value } : { uid: token.value, card: as.value });
  };
  for (const button of document.querySelectorAll("[data-post]")) {
    button.addEventListener("click", () => post(button.dataset.post, JSON.parse(button.dataset.body)));
  }
  $("mains").onclick = () => post("power", { mains: !station.mains });
  $("latency").oninput = (e) => { $("latency-out").textContent = `${e.target.value} ms`; };
  $("latency").onchange = (e) => post("links/backend", { latency_ms: Number(e.target.value) });
  const limitOf = (value) => value > 32 ? null : Number(value);
  $("limit").oninput = (e) => { $("limit-out").textContent = limitOf(e.target.value) === null ? phrase("site_limit_none") : `${e.target.value} A`; };
  $("limit").onchange = (e) => post("limits", { max_a: limitOf(e.target.value) });
  $("modem-faults").append(...MODEM_FAULTS.map(modemFaultButton));
  $("signal").oninput = (e) => { $("signal-out").textContent = `${-113 + 2 * e.target.value} dBm`; };
  $("signal").onchange = (e) => post("modem", { signal: Number(e.target.value) });
  $("requests").append(...REQUESTS.map(requestButton));
  $("message-form").onsubmit = sendMessage;
  $("monitor-form").onsubmit = setMonitor;
  $("monitor-clear").onclick = () => post("backend", { action: "SetMonitoringBase", payload: { monitoringBase: "HardWiredOnly" } });
  $("message-clear").onclick = () => post("backend", { action: "ClearDisplayMessage", payload: { id: MESSAGE_ID } });
  $("recording-form").onsubmit = (e) => {
    e.preventDefault();
    const title = e.target.elements.title.value.trim();
    post("recording", isRecording ? { action: "stop" } : { action: "start", ...(title ? { title } : {}) });
  };
  $("doctor-language").append(...Object.entries(PAGE_LANGUAGES).map(languageOption));
  $("doctor-run").onclick = () => post("doctor", { language: $("doctor-language").value });
  $("filter").oninput = refilter;
  for (const id of ["answers", "chatter"]) {
    $(id).onclick = () => { $(id).setAttribute("aria-pressed", !pressed(id)); refilter(); };
  }
  $("clear").onclick = () => $("frames").replaceChildren();
  $("frames").onscroll = (e) => {
    if (e.target.scrollHeight - e.target.scrollTop - e.target.clientHeight < 40) $("latest").hidden = true;
  };
  $("frames").onkeydown = walkFrames;
  $("latest").onclick = () => { $("frames").scrollTop = $("frames").scrollHeight; };
  $("fault-names").append(...[...FAULTS, ...MORE_FAULTS].map((f) => new Option(f, f)));
}

function languageOption([code, name]) {
  const option = new Option(name, code, code === pageLanguage, code === pageLanguage);
  option.lang = code;
  return option;
}

function wireTheme() {
  const set = (theme) => { document.documentElement.dataset.theme = theme; };
  set(localStorage.getItem("theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
  $("theme").onclick = () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    localStorage.setItem("theme", theme);
    set(theme);
    for (const bay of bays.values()) bay.draw();
  };
}

wireTheme(); // at once: a dark page does not begin white
textsReady.then(() => {
  wirePage();
  listen();
  screens();
  setInterval(() => { for (const bay of bays.values()) bay.sample(); }, 1000);
});
