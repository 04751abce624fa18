// The field page works without this script: it only renews what is live, and waits for a restart.
"use strict";

const menu = document.getElementById("menu");
if (menu && matchMedia("(min-width: 48rem)").matches) menu.open = true;

const offline = document.getElementById("offline");

function renewPart(part) {
  // not every browser gives the focus to a button that is pressed
  const isUsed = () => document.hidden || part.contains(document.activeElement) || part.matches(":active");
  if (isUsed()) return Promise.resolve();
  return fetch(part.dataset.live, { cache: "no-store", redirect: "error" })
    .then((answer) => {
      if (answer.status === 401) location.assign("/login");
      if (!answer.ok) throw new Error(answer.status);
      return answer.text();
    })
    .then((text) => {
      offline.hidden = true;
      if (text === part.dataset.shown || isUsed()) return; // a click on what is replaced meanwhile would be lost
      const log = part.querySelector(".log");
      const scrolled = log ? log.scrollTop : 0;
      part.innerHTML = text;
      part.dataset.shown = text;
      if (scrolled) part.querySelector(".log").scrollTop = scrolled;
    })
    .catch(() => { offline.hidden = false; });
}

for (const part of document.querySelectorAll("[data-live]")) {
  const renewLater = () => setTimeout(() => renewPart(part).finally(renewLater), 1000 * part.dataset.every);
  renewLater();
}

for (const part of document.querySelectorAll("[data-wait-for]")) {
  let wasAway = false;
  const since = Date.now();
  const look = () => fetch(part.dataset.waitFor, { cache: "no-store" })
    .then((answer) => answer.status === 204, () => false)
    .then((there) => {
      wasAway = wasAway || !there;
      if (there && (wasAway || Date.now() - since > 15000)) location.replace(part.dataset.next);
      else setTimeout(look, 700);
    });
  look();
}

document.addEventListener("submit", (event) => {
  const button = event.target.querySelector("button[type=submit]");
  if (button) setTimeout(() => { button.disabled = true; setTimeout(() => { button.disabled = false; }, 8000); });
});
