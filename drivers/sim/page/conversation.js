// The choice of what the conversation shows, its pause, and its files. app.js has the list itself.
"use strict";

const CONVERSATION = { actions: new Set(), paused: false };

// Whether a frame of the list is one of the chosen side and action, and an error if only these are wanted.
function isFrameChosen(item) {
  const { dir, kind, action } = item.dataset;
  const side = $("frame-sender").value, chosen = $("frame-action").value;
  if (side && dir !== side) return false;
  if (chosen && action !== chosen && !action.startsWith(`${chosen}:`)) return false;
  return !pressed("errors-only") || kind === "error";
}

// An action can be chosen once it was seen. A frame that was composed says so.
function noteFrame(item, frame) {
  const name = item.dataset.action.split(":")[0];
  if (!CONVERSATION.actions.has(name)) {
    CONVERSATION.actions.add(name);
    const select = $("frame-action"), next = [...select.options].slice(1).find((option) => option.value > name);
    select.insertBefore(wordOption(name), next || null);
  }
  if (frame.composed) {
    const mark = Object.assign(document.createElement("span"), { className: "mark", textContent: phrase("conversation_composed") });
    item.querySelector("summary").append(mark);
    item.dataset.composed = "true";
  }
}

function forgetActions() {
  CONVERSATION.actions.clear();
  $("frame-action").replaceChildren($("frame-action").options[0]);
}

function pauseConversation() {
  CONVERSATION.paused = !CONVERSATION.paused;
  $("pause").setAttribute("aria-pressed", String(CONVERSATION.paused));
  $("talk-says").textContent = CONVERSATION.paused ? phrase("conversation_paused") : "";
  if (!CONVERSATION.paused) showArrived();
}

// The picture takes a moment, and there may be a reason why it cannot be drawn.
async function downloadDiagram() {
  $("talk-says").textContent = phrase("conversation_drawing");
  $("conversation-picture").disabled = true;
  try {
    const answer = await fetch(`${API}conversation.svg`);
    if (!answer.ok) return toast((await answer.json()).error, "en");
    const url = URL.createObjectURL(await answer.blob());
    Object.assign(document.createElement("a"), { href: url, download: "conversation.svg" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  } catch {
    toast(phrase("no_answer"));
  } finally {
    $("conversation-picture").disabled = false;
    $("talk-says").textContent = CONVERSATION.paused ? phrase("conversation_paused") : "";
  }
}

function wireConversation() {
  for (const id of ["frame-sender", "frame-action"]) $(id).onchange = refilter;
  $("errors-only").onclick = () => { $("errors-only").setAttribute("aria-pressed", String(!pressed("errors-only"))); refilter(); };
  $("pause").onclick = pauseConversation;
  $("conversation-file").href = `${API}conversation.jsonl`;
  $("conversation-picture").onclick = downloadDiagram;
}
