"use strict";
// Makes the calls of the API's description. The address of a call is its path with the values of the form.

function addressOf(form) {
  const query = new URLSearchParams();
  let path = form.dataset.path;
  for (const field of form.querySelectorAll("input")) {
    if (field.dataset.in === "path") path = path.replace(`{${field.name}}`, encodeURIComponent(field.value));
    else if (field.value) query.set(field.name, field.value);
  }
  return query.size ? `${path}?${query}` : path;
}

async function textOf(answer) {
  const type = answer.headers.get("Content-Type") || "";
  if (type.startsWith("image/")) return `${type}, ${(await answer.blob()).size} bytes`;
  const text = await answer.text();
  return type.startsWith("application/json") ? JSON.stringify(JSON.parse(text), null, 2) : text;
}

async function send(form) {
  const output = form.querySelector("output");
  const body = form.elements.body ? form.elements.body.value : undefined;
  try {
    const answer = await fetch(addressOf(form), { method: form.dataset.method, body });
    output.textContent = `${answer.status} ${answer.statusText}\n${await textOf(answer)}`;
  } catch (error) {
    output.textContent = `no answer: ${error.message}`;
  }
}

for (const form of document.forms) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
}
