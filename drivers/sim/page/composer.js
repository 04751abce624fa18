// The message composer: any request of OCPP to either side of the link, as it should be or wrong on purpose. What was
// sent and what was answered comes back as events of the control API. The names of fields are those of the standard.
"use strict";

const COMPOSER = { version: null, available: false, payload: {}, schema: null, loading: 0, shown: "" };
const FIRST_ACTIONS = ["Heartbeat", "TriggerMessage"];
const composerPart = (id) => document.getElementById(`composer-${id}`);

// --- what the station says ----------------------------------------------------------------------------------------

function showComposer({ available, reason, version, messages }) {
  COMPOSER.available = available;
  composerPart("send").disabled = composerPart("send-text").disabled = !available;
  const says = available ? phrase("composer_ready", { version }) : phrase(`composer_${reason}`);
  if (composerPart("says").textContent !== says) composerPart("says").textContent = says;
  showComposedMessages(messages);
  if (version && version !== COMPOSER.version) {
    COMPOSER.version = version;
    offerComposerActions();
  }
}

function showComposedMessages(messages) {
  const list = composerPart("messages"), text = JSON.stringify(messages);
  if (COMPOSER.shown === text) return;
  COMPOSER.shown = text;
  const open = new Set([...list.querySelectorAll("details[open]")].map((e) => e.dataset.number));
  list.hidden = !messages.length;
  list.replaceChildren(...messages.toReversed().map((message) => composedItem(message, open)));
}

function composedItem(message, open) {
  const make = (tag, className, text) => Object.assign(document.createElement(tag), { className, textContent: text });
  const item = document.createElement("li"), details = document.createElement("details");
  const way = phrase(message.sender === "station" ? "frame_out" : "frame_in");
  const state = message.answers.length === 0 ? "waits" : message.answers.some((a) => a.is_error) ? "error" : "result";
  details.dataset.number = String(message.number);
  details.open = open.has(details.dataset.number);
  Object.assign(item.dataset, { testid: `composed-${message.number}`, state });
  const summary = document.createElement("summary");
  const wrong = message.malformed ? ` · ${phrase(`composer_${message.malformed}`)}` : "";
  summary.append(Object.assign(make("b", "", message.action || phrase("composer_text")), message.action ? { lang: "en" } : {}), make("span", "gist", `${way}${wrong}`),
    make("span", "state", phrase(`composer_${state}`)));
  details.append(summary, make("pre", "", message.text), ...message.answers.map((answer) => {
    const waited = Math.max(0, Math.round((answer.t - message.t) * 1000));
    const box = document.createDocumentFragment();
    box.append(make("p", "hint", phrase("composer_answered", { waited })), make("pre", "", answer.text));
    return box;
  }));
  item.append(details);
  return item;
}

// --- the choice of a request ----------------------------------------------------------------------------------------

// A word of OCPP, which is English in every language of the page.
const wordOption = (word) => Object.assign(new Option(String(word), String(word)), { lang: "en" });

async function offerComposerActions() {
  const answer = await fetch(`${API}composer/${COMPOSER.version}`);
  if (!answer.ok) return;
  COMPOSER.actions = (await answer.json()).actions;
  fillComposerActions();
}

function fillComposerActions() {
  const select = composerPart("action"), before = select.value, sender = composerPart("sender").value;
  const names = Object.keys(COMPOSER.actions || {}).filter((name) => COMPOSER.actions[name].includes(sender));
  select.replaceChildren(...names.map(wordOption));
  select.value = [before, ...FIRST_ACTIONS].find((name) => names.includes(name)) || names[0] || "";
  loadComposerForm();
}

async function loadComposerForm() {
  const action = composerPart("action").value, turn = COMPOSER.loading += 1;
  delete composerPart("form").dataset.action; // the form of another request is on its way
  if (!action) return;
  const answer = await fetch(`${API}composer/${COMPOSER.version}/${action}`);
  if (!answer.ok || turn !== COMPOSER.loading) return; // another request was chosen meanwhile
  const { schema, example } = await answer.json();
  COMPOSER.schema = schema;
  setComposerPayload(example);
  composerPart("form").dataset.action = action;
}

function setComposerPayload(payload) {
  COMPOSER.payload = payload;
  writeComposerJson();
  drawComposerForm();
}

function writeComposerJson() {
  composerPart("json").value = JSON.stringify(COMPOSER.payload, null, 2);
  markComposerJson(true);
}

function markComposerJson(isRight) {
  composerPart("json").setAttribute("aria-invalid", String(!isRight));
  composerPart("json-says").textContent = isRight ? "" : phrase("composer_no_json");
}

function readComposerJson() {
  let payload;
  try { payload = JSON.parse(composerPart("json").value); } catch { payload = null; }
  const isRight = payload !== null && typeof payload === "object" && !Array.isArray(payload);
  markComposerJson(isRight);
  if (!isRight) return false;
  COMPOSER.payload = payload;
  drawComposerForm();
  return true;
}

// --- the form -------------------------------------------------------------------------------------------------------

function drawComposerForm() {
  composerPart("fields").replaceChildren(...objectFields(COMPOSER.schema, COMPOSER.payload, ""));
}

// Draw again after a field has come or gone, and go to where the person was.
function redrawComposerForm(focusOn) {
  writeComposerJson();
  drawComposerForm();
  const next = focusOn && composerPart("fields").querySelector(`[data-path="${CSS.escape(focusOn)}"]`);
  const target = next && (next.matches("input,select,button") ? next : next.querySelector("input,select,button"));
  (target || composerPart("action")).focus();
}

function objectFields(schema, value, path) {
  const properties = schema.properties || {}, required = schema.required || [];
  const present = Object.keys(properties).filter((name) => name in value);
  const absent = Object.keys(properties).filter((name) => !(name in value));
  const fields = present.map((name) => {
    const place = path ? `${path}.${name}` : name;
    const remove = required.includes(name) ? null : () => { delete value[name]; redrawComposerForm(path); };
    return composerField(name, place, properties[name], value[name], (v) => { value[name] = v; writeComposerJson(); }, remove);
  });
  return absent.length ? [...fields, fieldAdder(absent, properties, value, path)] : fields;
}

function fieldAdder(names, properties, value, path) {
  const select = document.createElement("select");
  select.append(new Option(phrase("composer_add_field"), ""), ...names.map(wordOption));
  select.dataset.testid = `composer-add${path && `-${path}`}`;
  select.setAttribute("aria-label", path ? phrase("composer_add_field_to", { name: path }) : phrase("composer_add_field"));
  select.onchange = () => {
    value[select.value] = blankValue(properties[select.value]);
    redrawComposerForm(path ? `${path}.${select.value}` : select.value);
  };
  return select;
}

function composerField(name, path, schema, value, set, remove) {
  if (schema.type === "object" && !schema.enum && isPlainObject(value)) return groupField(name, path, objectFields(schema, value, path), remove);
  if (schema.type === "array" && Array.isArray(value)) return groupField(name, path, arrayFields(name, path, schema, value), remove);
  const label = document.createElement("label"), input = scalarInput(schema, value, set);
  input.dataset.path = path;
  input.dataset.testid = `composer-field-${path}`;
  label.append(Object.assign(document.createElement("span"), { textContent: name, lang: "en", translate: false }), input);
  const box = Object.assign(document.createElement("div"), { className: "composer-field" });
  box.append(label, ...(remove ? [removeButton(path, remove)] : []));
  return box;
}

const isPlainObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

function groupField(name, path, fields, remove) {
  const group = document.createElement("fieldset");
  group.dataset.path = path;
  group.append(Object.assign(document.createElement("legend"), { textContent: name, lang: "en", translate: false }), ...(remove ? [removeButton(path, remove)] : []), ...fields);
  return group;
}

function arrayFields(name, path, schema, value) {
  const fields = value.map((item, i) => {
    const remove = value.length > (schema.minItems || 0) ? () => { value.splice(i, 1); redrawComposerForm(path); } : null;
    return composerField(`${name} ${i + 1}`, `${path}.${i}`, schema.items || {}, item, (v) => { value[i] = v; writeComposerJson(); }, remove);
  });
  const add = Object.assign(document.createElement("button"), { type: "button", textContent: phrase("composer_add_item") });
  add.dataset.testid = `composer-item-${path}`;
  add.setAttribute("aria-label", phrase("composer_add_item_to", { name: path }));
  add.disabled = value.length >= (schema.maxItems ?? Infinity);
  add.onclick = () => { value.push(blankValue(schema.items || {})); redrawComposerForm(`${path}.${value.length - 1}`); };
  return [...fields, add];
}

function removeButton(path, remove) {
  const button = Object.assign(document.createElement("button"), { type: "button", className: "quiet", textContent: "×", onclick: remove });
  button.dataset.testid = `composer-remove-${path}`;
  button.setAttribute("aria-label", phrase("composer_remove_field", { name: path }));
  return button;
}

function scalarInput(schema, value, set) {
  const words = schema.enum || (schema.type === "boolean" ? [false, true] : null);
  if (words) {
    const select = document.createElement("select");
    select.append(...words.map(wordOption));
    select.value = String(value);
    select.onchange = () => set(words[select.selectedIndex]);
    return select;
  }
  const input = document.createElement("input");
  const isNumber = schema.type === "integer" || schema.type === "number";
  Object.assign(input, { type: isNumber ? "number" : "text", value: typeof value === "object" ? JSON.stringify(value) : String(value) });
  if (isNumber) input.step = schema.type === "integer" ? "1" : "any";
  if (schema.maxLength) input.maxLength = schema.maxLength;
  input.oninput = () => set(isNumber && input.value !== "" && Number.isFinite(Number(input.value)) ? Number(input.value) : input.value);
  return input;
}

// What a field holds when it is added: what its schema requires, and nothing else.
function blankValue(schema) {
  if (schema.enum) return schema.enum[0];
  if (schema.type === "object") {
    const properties = schema.properties || {};
    return Object.fromEntries((schema.required || []).filter((name) => properties[name]).map((name) => [name, blankValue(properties[name])]));
  }
  if (schema.type === "array") return [blankValue(schema.items || {})];
  if (schema.type === "boolean") return false;
  if (schema.type === "integer" || schema.type === "number") return Math.max(schema.minimum ?? 0, 0);
  return schema.format === "date-time" ? new Date().toISOString() : "";
}

// --- sending --------------------------------------------------------------------------------------------------------

async function sendComposedRequest(e) {
  e.preventDefault();
  if (!readComposerJson()) return composerPart("json").focus();
  const malformed = composerPart("malformed").value;
  const body = { sender: composerPart("sender").value, action: composerPart("action").value, payload: COMPOSER.payload };
  await post("composer", malformed ? { ...body, malformed } : body);
}

async function sendComposedText(e) {
  e.preventDefault();
  await post("composer", { sender: composerPart("sender").value, text: composerPart("raw").value });
}

// Begin the raw text with the request as it is, so that it can be spoilt by hand.
function copyRequestToText() {
  const id = `by-hand-${Date.now().toString(36)}`;
  composerPart("raw").value = JSON.stringify([2, id, composerPart("action").value, COMPOSER.payload]);
  composerPart("raw").focus();
}

function wireComposer() {
  composerPart("sender").onchange = fillComposerActions;
  composerPart("action").onchange = loadComposerForm;
  composerPart("json").oninput = readComposerJson;
  composerPart("form").onsubmit = sendComposedRequest;
  composerPart("text-form").onsubmit = sendComposedText;
  composerPart("copy").onclick = copyRequestToText;
  composerPart("reset").onclick = loadComposerForm;
}
