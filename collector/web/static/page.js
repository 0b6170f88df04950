// Keeps the page fresh: asks for the part that changes, and says so when nobody
// answers instead of showing old values as if they were new. Which part that is
// follows from the fragment, as in the links of messages: #/alerts?receiver=x.
"use strict";

const every = 2000; // ms from one request to the next
const patience = 5000; // ms for an answer

const main = document.querySelector("main");
const state = document.querySelector("#state");
const said = document.querySelector("#said"); // why something was not changed
let fresh = Date.now(); // when the values on the page were asked for
let shown = null; // the address whose part is on the page
let asking = false;

// part is where the part that the fragment names is, and whether it changes by
// itself: what a person is filling in must not.
function part() {
  const [path, query] = location.hash.startsWith("#/") ? location.hash.slice(2).split(/\?(.*)/s) : ["", ""];
  const name = path.replace(/\/+$/, "");
  return { ask: `?fragment=${encodeURIComponent(name)}&${query || ""}`, live: name !== "silences/new" };
}

async function refresh() {
  const { ask, live } = part();
  if (document.hidden || asking || (!live && shown === ask)) return;
  asking = true;
  const asked = Date.now();
  try {
    const answer = await fetch(ask, { cache: "no-store", signal: AbortSignal.timeout(patience) });
    if (!answer.ok && answer.status !== 404) throw new Error(answer.statusText);
    const text = await answer.text();
    if (part().ask !== ask) return; // the person has gone on
    if (answer.ok) main.innerHTML = text;
    else main.textContent = text;
    fresh = asked;
    shown = ask;
    document.body.classList.remove("lost");
    say(live ? "live" : "");
  } catch {
    document.body.classList.add("lost");
    say(`connection lost, values are ${Math.round((Date.now() - fresh) / 1000)} s old`);
  } finally {
    asking = false;
    if (part().ask !== ask) refresh();
  }
}

function say(text) {
  if (state.textContent !== text) state.textContent = text; // screen readers hear changes only
}

// change asks the server to change something, and shows why it did not.
async function change(method, path, body) {
  said.textContent = "";
  try {
    const answer = await fetch(path, {
      method, body: body && JSON.stringify(body),
      headers: body ? { "Content-Type": "application/json" } : {}, signal: AbortSignal.timeout(patience),
    });
    if (answer.ok) return true;
    said.textContent = await answer.text();
  } catch (e) {
    said.textContent = String(e);
  }
  return false;
}

// matchers are those of the form for a silence, as Alertmanager's API wants them.
function matchers(form) {
  const list = [];
  for (const row of form.querySelectorAll(".matcher")) {
    const [name, op, value] = ["name", "op", "value"].map((n) => row.querySelector(`[name=${n}]`).value);
    if (name) list.push({ name, value, isRegex: op.endsWith("~"), isEqual: !op.startsWith("!") });
  }
  return list;
}

document.addEventListener("submit", async (e) => {
  const form = e.target;
  if (form.id !== "new-silence") return;
  e.preventDefault();
  const now = Date.now();
  const made = await change("POST", "api/v2/silences", {
    matchers: matchers(form), createdBy: form.elements.author.value, comment: form.elements.comment.value,
    startsAt: new Date(now).toISOString(), endsAt: new Date(now + Number(form.elements.hours.value) * 3600e3).toISOString(),
  });
  if (made) location.hash = "#/silences";
});

document.addEventListener("click", async (e) => {
  const id = e.target.dataset?.expire;
  if (id && (await change("DELETE", `api/v2/silence/${encodeURIComponent(id)}`))) refresh();
});

setInterval(refresh, every);
document.addEventListener("visibilitychange", refresh);
window.addEventListener("hashchange", () => {
  said.textContent = "";
  refresh();
});
refresh();
