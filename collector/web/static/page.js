// Keeps the page fresh: asks for the part that changes, and says so when nobody
// answers instead of showing old values as if they were new.
"use strict";

const every = 2000; // ms from one request to the next
const patience = 5000; // ms for an answer

const main = document.querySelector("main");
const state = document.querySelector("#state");
let fresh = Date.now(); // when the values on the page were asked for
let asking = false;

async function refresh() {
  if (document.hidden || asking) return;
  asking = true;
  const asked = Date.now();
  try {
    const answer = await fetch("?fragment", { cache: "no-store", signal: AbortSignal.timeout(patience) });
    if (!answer.ok) throw new Error(answer.statusText);
    main.innerHTML = await answer.text();
    fresh = asked;
    document.body.classList.remove("lost");
    say("live");
  } catch {
    document.body.classList.add("lost");
    say(`connection lost, values are ${Math.round((Date.now() - fresh) / 1000)} s old`);
  } finally {
    asking = false;
  }
}

function say(text) {
  if (state.textContent !== text) state.textContent = text; // screen readers hear changes only
}

setInterval(refresh, every);
document.addEventListener("visibilitychange", refresh);
refresh();
