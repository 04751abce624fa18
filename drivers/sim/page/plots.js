// Power and energy of each outlet over the last quarter of an hour, and how long answers take.
// Each line of a plot has a pattern and the number of its outlet beside its colour; the figures are also in words.
"use strict";

const PLOT = { least: 260, most: 640, roomy: 420, height: 200, left: 58, right: 34, top: 12, bottom: 24, nameHeight: 12, everyMs: 2000, spanS: 900 };
const SERIES = 6; // patterns in the style sheet
const latency = { open: new Map(), byAction: new Map() };
const CALL_HEAD = /^\s*\[\s*([2-4])\s*,\s*"([^"]*)"(?:\s*,\s*"(\w+)")?/;
let plotted = "power";

function svgPart(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// --- power and energy -----------------------------------------------------------------------------------------------

// The values of an outlet in kW, or in kWh since the first sample.
function plotValues({ power_w, meter_wh }) {
  return plotted === "power" ? power_w.map((w) => w / 1000) : meter_wh.map((wh) => (wh - meter_wh[0]) / 1000);
}

const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100];
const niceStep = (top) => STEPS.find((step) => step * 4 >= top) || top / 4;

function drawPlot({ t, evses }) {
  const svg = $("plot"), now = t.at(-1) || 0, unit = plotted === "power" ? "kW" : "kWh";
  const width = Math.max(PLOT.least, svg.clientWidth || PLOT.most);
  svg.setAttribute("viewBox", `0 0 ${width} ${PLOT.height}`);
  const lines = evses.map((evse) => ({ number: evse.number, values: plotValues(evse) }));
  const step = niceStep(Math.max(0.4, ...lines.map(({ values }) => Math.max(0, ...values))));
  const x = (at) => width - PLOT.right - (now - at) / PLOT.spanS * (width - PLOT.left - PLOT.right);
  const y = (value) => PLOT.height - PLOT.bottom - value / (4 * step) * (PLOT.height - PLOT.top - PLOT.bottom);
  svg.replaceChildren(...plotGrid(step, unit, width, x, y, now), ...plotLines(lines, t, width, x, y));
  const words = lines.map(({ number, values }) => plotWords(number, values));
  svg.setAttribute("aria-label", `${phrase(plotted === "power" ? "plot_power" : "plot_energy")}. ${words.join(" ")}`);
  setText($("plot-says"), words.join(" "));
}

function plotGrid(step, unit, width, x, y, now) {
  const parts = [];
  for (let i = 0; i <= 4; i += 1) {
    const figure = decimalText(i * step, 2, { atMost: true });
    parts.push(svgPart("path", { class: "grid-line", d: `M${PLOT.left} ${y(i * step)}H${width - PLOT.right}` }),
      svgPart("text", { x: PLOT.left - 6, y: y(i * step) + 4, "text-anchor": "end" }, i === 4 ? `${figure} ${unit}` : figure));
  }
  for (const minutes of width < PLOT.roomy ? [15, 0] : [15, 10, 5, 0]) {
    const words = minutes ? phrase("plot_minutes_ago", { minutes }) : phrase("plot_now");
    const anchor = { 15: "start", 0: "end" }[minutes] || "middle";
    parts.push(svgPart("text", { x: x(now - minutes * 60), y: PLOT.height - 6, "text-anchor": anchor }, words));
  }
  return parts;
}

// A line ends with the number of its outlet; where two lines end at one height, the numbers stand one above the other.
function plotLines(lines, t, width, x, y) {
  const taken = [];
  return lines.filter(({ values }) => values.length).flatMap(({ number, values }, i) => {
    const points = values.map((value, k) => `${x(t[k]).toFixed(1)} ${y(value).toFixed(1)}`).join("L");
    let place = y(values.at(-1)) + 4;
    while (taken.some((other) => Math.abs(other - place) < PLOT.nameHeight)) place -= PLOT.nameHeight;
    taken.push(place);
    return [svgPart("path", { class: "plot-line", "data-series": i % SERIES, "data-testid": `plot-line-${number}`, d: `M${points}` }),
      svgPart("text", { class: "plot-name", x: width - PLOT.right + 5, y: place }, `#${number}`)];
  });
}

function plotWords(number, values) {
  const now = values.at(-1) || 0;
  if (plotted === "energy") return phrase("plot_outlet_energy", { number, now: decimalText(now, 3) });
  return phrase("plot_outlet_power", { number, now: decimalText(now, 1), most: decimalText(Math.max(0, ...values), 1) });
}

async function refreshPlots() {
  const answer = await fetch(`${API}history`).catch(() => null);
  if (answer && answer.ok) drawPlot(await answer.json());
  drawLatencies();
}

async function followPlots() {
  if ($("plots-box").open && !document.hidden) await refreshPlots();
  setTimeout(followPlots, PLOT.everyMs);
}

// --- how long answers take ------------------------------------------------------------------------------------------

// Times of frames are those of the station, whose time may run faster than that of the person who looks.
function noteLatency(frame) {
  const [, type, id, action] = CALL_HEAD.exec(frame.frame) || [];
  if (!type) return;
  if (type === "2") return void latency.open.set(frame.dir + id, { at: frame.t, action, dir: frame.dir });
  const key = (frame.dir === "out" ? "in" : "out") + id, call = latency.open.get(key);
  if (!call) return;
  latency.open.delete(key);
  const row = `${call.dir} ${call.action}`, speed = station ? station.simulation.speed : 1;
  if (!latency.byAction.has(row)) latency.byAction.set(row, []);
  latency.byAction.get(row).push(Math.max(0, (frame.t - call.at) * 1000 / speed));
}

function forgetLatencies() {
  latency.open.clear();
  latency.byAction.clear();
}

const share = (sorted, part) => sorted[Math.ceil(part * sorted.length) - 1]; // the nearest rank

function drawLatencies() {
  const rows = [...latency.byAction].map(([name, times]) => {
    const sorted = [...times].sort((a, b) => a - b), [dir, action] = name.split(" ");
    return { dir, action, count: sorted.length, median: share(sorted, 0.5), high: share(sorted, 0.95), most: sorted.at(-1) };
  }).sort((a, b) => b.median - a.median);
  const top = Math.max(1, ...rows.map((row) => row.most));
  $("latency-box").hidden = !rows.length;
  $("latencies").replaceChildren(...rows.map((row) => latencyRow(row, top)));
}

function latencyRow({ dir, action, count, median, high, most }, top) {
  const row = document.createElement("tr");
  row.dataset.testid = `latency-${dir}-${action}`;
  const cell = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
  const name = cell("th", `${dir === "out" ? "→" : "←"} ${action}`);
  name.scope = "row";
  name.title = phrase(`frame_${dir}`);
  const bar = svgPart("svg", { class: "latency-bar", viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true" });
  bar.append(svgPart("rect", { class: "most", x: 0, y: 5, width: 100 * most / top, height: 2 }),
    svgPart("rect", { class: "high", x: 0, y: 3, width: 100 * high / top, height: 6 }),
    svgPart("rect", { class: "median", x: 0, y: 0, width: Math.max(0.6, 100 * median / top), height: 12 }));
  const picture = document.createElement("td");
  picture.append(bar);
  row.append(name, ...[count, ...[median, high, most].map((ms) => decimalText(ms, ms < 10 ? 1 : 0))].map((n) => cell("td", n)), picture);
  return row;
}

function wirePlots() {
  const options = () => [["power", phrase("plot_power"), "plot-power"], ["energy", phrase("plot_energy"), "plot-energy"]];
  const offer = () => choice($("plot-kind"), options(), plotted, (kind) => { plotted = kind; offer(); refreshPlots(); });
  offer();
  $("plots-box").ontoggle = () => { if ($("plots-box").open) refreshPlots(); };
  followPlots();
}
