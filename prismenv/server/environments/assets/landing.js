// Reset and step an environment from its page. Whatever the server says is shown as text, and never as markup.
"use strict";

// Of this page alone: two pages, or two tabs, do not step each other's episodes.
const pageId = "page-" + Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");

function show(section, title, body, failed) {
  const said = document.createElement("pre");
  said.textContent = title + "\n" + (typeof body === "string" ? body : JSON.stringify(body, null, 2));
  said.className = failed ? "answer failed" : "answer";
  section.querySelector(".answers").prepend(said);
}

function read(field) {
  const text = field.value.trim();
  return text === "" ? {} : JSON.parse(text);
}

async function call(section, kind) {
  let body;
  try {
    if (kind === "reset") body = read(section.querySelector(".options"));
    if (kind === "step") body = { action: read(section.querySelector(".action")) };
  } catch (error) {
    show(section, kind, "This is no JSON: " + error.message, true);
    return;
  }
  const request = { method: kind === "state" ? "GET" : "POST", headers: { "X-Session-ID": pageId } };
  if (body !== undefined) {
    request.headers["Content-Type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  for (const button of section.querySelectorAll("button")) button.disabled = true;
  try {
    const response = await fetch(section.dataset.address + "/" + kind, request);
    const text = await response.text();
    let told = text;
    try {
      told = JSON.parse(text);
    } catch { /* it is shown as it is */ }
    show(section, kind + ": " + response.status, told, !response.ok);
  } catch (error) {
    show(section, kind, "The server cannot be reached: " + error.message, true);
  } finally {
    for (const button of section.querySelectorAll("button")) button.disabled = false;
  }
}

for (const section of document.querySelectorAll("section[data-address]")) {
  for (const button of section.querySelectorAll("button[data-call]")) {
    button.addEventListener("click", () => call(section, button.dataset.call));
  }
}
