// The stations of this server beside one another, and the outlets of the one that is open. The address of the page names
// that one (/stations/ID/); at the root it is the station named first. app.js calls showOpenStation with each picture.
"use strict";

const ALL_STATIONS = "/api/v1/stations";
const STATIONS_AGAIN_MS = 2000;
const MANY_OUTLETS = 4; // so many pillars and cars would put cards and conversation out of sight
const stationItems = new Map();
let openStation = null; // its entry in the list, once that is known
let isOnlyStation = true;
let isFirstPicture = true;

async function followStations() {
  const answer = await fetch(ALL_STATIONS).catch(() => null);
  if (!answer || !answer.ok) {
    setTimeout(followStations, STATIONS_AGAIN_MS);
    return;
  }
  const { stations } = await answer.json();
  const here = decodeURIComponent(location.pathname);
  openStation = stations.find(({ path }) => decodeURIComponent(path) === here) || stations[0];
  isOnlyStation = stations.length === 1;
  stations.forEach(showStationEntry);
  if (isOnlyStation) return;
  document.title = `${openStation.id} · ${document.title}`; // tells the tabs of several stations apart
  listenToStations();
}

// A WebSocket, since a browser has six connections to a server for everything else, in all its tabs together.
function listenToStations() {
  const url = new URL(`${ALL_STATIONS}/events/socket`, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url);
  socket.onmessage = (e) => showStationEntry(JSON.parse(e.data).data);
  socket.onclose = () => {
    for (const item of stationItems.values()) setText(item.querySelector(".station-says"), phrase("pill_simulation_away"));
    setTimeout(listenToStations, STATIONS_AGAIN_MS);
  };
}

// A single station has its picture from its own events.
function showOpenStation(picture) {
  if (isFirstPicture) {
    isFirstPicture = false;
    if (picture.evses.length >= MANY_OUTLETS) foldAllOutlets();
    showAddressedOutlet();
    addEventListener("hashchange", showAddressedOutlet);
  }
  if (openStation && isOnlyStation) showStationEntry({ ...openStation, picture });
}

function foldAllOutlets() {
  $("bays").classList.add("many");
  for (const bay of bays.values()) bay.fold(true);
}

function showAddressedOutlet() {
  const bay = bays.get(Number((/^#outlet-(\d+)$/.exec(location.hash) || [])[1]));
  if (!bay) return;
  bay.fold(false);
  bay.root.scrollIntoView();
}

function showStationEntry({ id, state, error, path, picture }) {
  const item = stationItems.get(id) || addStationItem(id, path);
  const { evses } = picture || { evses: [] };
  item.dataset.state = state;
  setText(item.querySelector(".station-says"), stationWords(state, picture));
  setText(item.querySelector(".station-error"), error);
  item.querySelector(".station-error").hidden = !error;
  if (id === openStation.id) showWhetherEnded(state === "ended");
  const list = item.querySelector(".station-outlets");
  evses.forEach((evse, i) => showStationOutlet(list.children[i] || addStationOutlet(list, id, path, evse.number), evse));
  while (list.childElementCount > evses.length) list.lastElementChild.remove();
  document.getElementById("stations").hidden = isOnlyStation && evses.length < MANY_OUTLETS;
}

// Of a station that has ended there is nothing to operate.
function showWhetherEnded(hasEnded) {
  for (const part of document.querySelectorAll(".street, .talk, .pills")) part.hidden = hasEnded;
  document.getElementById("station-ended").hidden = !hasEnded;
}

function stationWords(state, picture) {
  if (!picture) return phrase(state === "ended" ? "stations_ended" : "stations_starting");
  const { agent, backend, evses } = picture;
  const watts = evses.reduce((sum, evse) => sum + evse.power_w, 0);
  const link = !agent.up ? phrase(agent.pid ? "pill_agent_starts" : "pill_agent_down")
    : !backend || backend.link !== "up" ? phrase("pill_backend_away")
      : phrase("pill_backend_up", { version: backend.ocpp || "", boot: backend.boot || phrase("pill_backend_connected") });
  return `${link} · ${kilowattText(watts)}`;
}

const kilowattText = (watts) => `${decimalText(watts / 1000, 1)} kW`;

function addStationItem(id, path) {
  const item = templateCopy("station-entry");
  item.dataset.testid = `station-${id}`;
  const link = item.querySelector(".station-name");
  Object.assign(link, { href: path, textContent: id });
  if (id === openStation.id) link.setAttribute("aria-current", "page");
  item.querySelector(".station-outlets").setAttribute("aria-label", phrase("stations_outlets", { station: id }));
  document.getElementById("station-list").append(item);
  stationItems.set(id, item);
  return item;
}

function addStationOutlet(list, id, path, number) {
  const item = templateCopy("station-outlet");
  const link = item.firstElementChild;
  link.href = `${id === openStation.id ? "" : path}#outlet-${number}`;
  link.dataset.testid = `station-${id}-outlet-${number}`;
  setText(link.querySelector("b"), String(number));
  list.append(item);
  return item;
}

function showStationOutlet(item, { reported, power_w }) {
  const link = item.firstElementChild;
  link.dataset.status = reported ? reported.status : "";
  setText(link.querySelector(".outlet-status"), reported ? reported.status : "–");
  setText(link.querySelector(".outlet-power"), power_w > 0 ? kilowattText(power_w) : "");
}

textsReady.then(followStations);
