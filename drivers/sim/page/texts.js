// The texts of the page (texts.json) in the language of its reader: the one in the address (?lang=de), or that of the last
// visit, or the browser's, or English. Another language loads the page again, so no script has to say its texts twice.
//
// phrase(key, values) returns a text. In HTML data-text="key" fills an element, data-text-label="key" its aria-label, and
// likewise title, placeholder and alt; templateCopy(id) fills a copy of a template.
"use strict";

const PAGE_LANGUAGES = { en: "English", fr: "français", de: "Deutsch" };
const TEXT_PLACES = { "data-text-label": "aria-label", "data-text-title": "title", "data-text-placeholder": "placeholder", "data-text-alt": "alt" };
const pageLanguage = choosePageLanguage();
let pageTexts = {};

function choosePageLanguage() {
  const languageOf = (tag) => [(tag || "").slice(0, 2).toLowerCase()].find((code) => Object.hasOwn(PAGE_LANGUAGES, code));
  const asked = languageOf(new URLSearchParams(location.search).get("lang"));
  if (asked) localStorage.setItem("language", asked);
  return asked || languageOf(localStorage.getItem("language")) || navigator.languages.map(languageOf).find(Boolean) || "en";
}

// A key without a text is its own text: words of OCPP and of drivers that the table does not know stay as they are.
function phrase(key, values = {}) {
  const text = Object.hasOwn(pageTexts, key) ? pageTexts[key] : key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (Object.hasOwn(values, name) ? values[name] : whole));
}

// A word of the control API ("PIN required") whose key is its prefix and itself ("sim_pin_required").
function phraseOfWord(prefix, word) {
  const key = `${prefix}_${String(word).toLowerCase().replaceAll(" ", "_")}`;
  return Object.hasOwn(pageTexts, key) ? pageTexts[key] : String(word).replaceAll("_", " ");
}

// A number as it is written in this language. digits: those behind the decimal sign, always or at most.
function decimalText(value, digits, { atMost = false } = {}) {
  const fraction = { minimumFractionDigits: atMost ? 0 : digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(pageLanguage, { ...fraction, useGrouping: false }).format(value);
}

// A screen reader reads a text aloud each time it is written, also when it is the same.
function setText(element, text) { if (element.textContent !== text) element.textContent = text; }

function fillTexts(root) {
  for (const element of root.querySelectorAll("[data-text]")) element.textContent = phrase(element.dataset.text);
  for (const [place, attribute] of Object.entries(TEXT_PLACES)) {
    for (const element of root.querySelectorAll(`[${place}]`)) element.setAttribute(attribute, phrase(element.getAttribute(place)));
  }
}

function templateCopy(id) {
  const copy = document.getElementById(id).content.cloneNode(true);
  fillTexts(copy);
  return copy.firstElementChild;
}

function languageLink([code, name]) {
  const address = new URL(location.href);
  address.searchParams.set("lang", code);
  const link = Object.assign(document.createElement("a"), { href: address, hreflang: code, lang: code, title: name, textContent: code.toUpperCase() });
  link.dataset.testid = `page-language-${code}`;
  if (code === pageLanguage) link.setAttribute("aria-current", "true");
  return link;
}

// Scripts that write texts begin when it is there.
const textsReady = fetch(new URL("texts.json", document.currentScript.src)).then((answer) => answer.json()).then((texts) => {
  pageTexts = texts[pageLanguage];
  document.documentElement.lang = pageLanguage;
  fillTexts(document);
  document.getElementById("languages").replaceChildren(...Object.entries(PAGE_LANGUAGES).map(languageLink));
});
