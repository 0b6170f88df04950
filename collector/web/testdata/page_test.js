// Runs page.js in a browser of a few lines, and says as JSON what it asked the
// server for: node page_test.js path/to/page.js
"use strict";
const fs = require("fs");
const vm = require("vm");

const asked = [];
const listeners = {};
const listen = (name, f) => (listeners[name] ||= []).push(f);
const element = () => ({ textContent: "", innerHTML: "" });
const parts = { main: element(), "#state": element(), "#said": element() };
const world = {
  console, Date, URL, JSON, Math, Number, String, Error,
  location: { hash: "" },
  AbortSignal: { timeout: () => undefined },
  document: {
    hidden: false, body: { classList: { add() {}, remove() {} } },
    querySelector: (what) => parts[what] || null, addEventListener: listen,
  },
  window: { addEventListener: listen },
  setInterval: (f) => listen("tick", f),
  fetch: async (url, { method = "GET", body, headers } = {}) => {
    asked.push({ method, url, body: body && JSON.parse(body), type: headers?.["Content-Type"] });
    return { ok: true, status: 200, text: async () => `answer to ${url}` };
  },
};
const fire = async (name, event) => {
  for (const f of listeners[name]) await f(event);
  for (let i = 0; i < 20; i++) await null;
};
const field = (value) => ({ value });
const row = (name, op, value) => ({ querySelector: (what) => ({ "[name=name]": field(name), "[name=op]": field(op), "[name=value]": field(value) })[what] });

(async () => {
  vm.runInNewContext(fs.readFileSync(process.argv[2], "utf8"), world);
  for (let i = 0; i < 20; i++) await null;
  for (const hash of ["#/alerts?receiver=ops+team", "#/silences/new?filter=%7Ba%3D%22b%3Fc%22%7D"]) {
    world.location.hash = hash;
    await fire("hashchange");
  }
  await fire("tick"); // a form that is being filled in stays
  let prevented = false;
  await fire("submit", {
    preventDefault: () => (prevented = true),
    target: {
      id: "new-silence", elements: { author: field("ann"), comment: field("why"), hours: field("1.5") },
      querySelectorAll: () => [row("a", "=", "b"), row("c", "!~", "d.*"), row("", "=", "")],
    },
  });
  const after = world.location.hash;
  await fire("click", { target: { dataset: { expire: "id/1" } } });
  process.stdout.write(JSON.stringify({ asked, prevented, after, shown: parts.main.innerHTML }));
})();
