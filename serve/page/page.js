// The page: models in a list, some at a time; one of them shown, named by the address after `#`.

import {hasKey, isGuarded, look, send, useKey, whenKeyIsWanted} from "./api.js";
import {el, say} from "./dom.js";
import {showModel} from "./model.js";

const main = document.getElementById("main"), list = document.getElementById("models"), more = document.getElementById("more");
const match = document.getElementById("match"), total = document.getElementById("total");
const said = document.getElementById("key-said");
const dialog = document.getElementById("key-dialog"), open = document.getElementById("key-open"), key = document.getElementById("key");
let shown = 0, turn = 0, choice = 0;

function chosen() {
  const [name, version] = location.hash.slice(1).split("/");
  try {
    return [decodeURIComponent(name ?? ""), version ?? ""];
  } catch {
    return [name, ""];  // an address that nobody has quoted
  }
}

async function fillList(again) {
  const mine = ++turn;
  const from = again ? 0 : shown;
  let found;
  try {
    found = await look(`/docs/models?match=${encodeURIComponent(match.value)}&from=${from}`);
  } catch (error) {
    if (mine !== turn) return;
    list.replaceChildren(el("li", {class: "bad"}, error.message));
    more.hidden = true;
    return;
  }
  if (mine !== turn) return;  // another search was begun meanwhile
  const rows = found.models.map(row);
  if (again) list.replaceChildren(...rows);
  else list.append(...rows);
  shown = from + found.models.length;
  total.textContent = `(${found.total})`;
  more.hidden = shown >= found.total;
  if (!found.total) list.replaceChildren(el("li", {class: "quiet"}, match.value ? "None has this in its name." : "There is none."));
  mark();
  say(`${found.total} models`);
  if (again && !location.hash && found.models.length === 1) location.hash = `#${encodeURIComponent(found.models[0].name)}`;
}

function row(one) {
  const ready = one.state === "READY";
  const link = el("a", {href: `#${encodeURIComponent(one.name)}${one.version ? `/${one.version}` : ""}`, title: one.reason || null},
    el("span", {class: `dot${ready ? " ready" : ""}`, "aria-hidden": true}), one.name,
    el("span", {class: "quiet"}, one.version ?? "", ready ? el("span", {class: "hidden"}, " ready") : ` ${(one.state ?? "not loaded").toLowerCase()}`));
  link.dataset.name = one.name;
  link.dataset.version = one.version ?? "";
  return el("li", {}, link);
}

function mark() {
  const [name, version] = chosen();
  let done = false;
  for (const link of list.querySelectorAll("a")) {
    const same = !done && link.dataset.name === name && (!version || link.dataset.version === version);
    if (same) { link.setAttribute("aria-current", "page"); done = true; }
    else link.removeAttribute("aria-current");
  }
}

async function showChosen() {
  mark();
  const [name, version] = chosen();
  document.title = name ? `${name} - Gantline` : "Gantline";
  const mine = ++choice;
  if (!name) {
    main.removeAttribute("aria-busy");
    return;
  }
  main.setAttribute("aria-busy", "true");
  try {
    await showModel(main, name, version, () => mine === choice);
    if (matchMedia("(max-width: 760px)").matches) main.scrollIntoView();
  } catch (error) {
    if (mine === choice) main.replaceChildren(el("section", {}, el("h1", {}, name), el("p", {class: "bad", role: "alert"}, error.message)));
  } finally {
    if (mine === choice) main.removeAttribute("aria-busy");
  }
}

// A link carries no key: what it leads to is asked for with one, and shown in a tab of its own. The tab is opened at once:
// browsers take it for a pop-up when the click is some seconds ago.
async function openWithKey(event) {
  if (!isGuarded()) return;
  event.preventDefault();
  const tab = window.open("", "_blank");
  try {
    const answer = await send(event.currentTarget.getAttribute("href"));
    if (answer.status === 401) return tab?.close();  // the dialog says so
    const url = URL.createObjectURL(await answer.blob());
    if (tab) tab.location = url;
    else location.assign(url);
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  } catch (error) {
    tab?.close();
    say(`No answer: ${error.message}`);
  }
}
for (const link of document.querySelectorAll("nav.documents a")) link.addEventListener("click", openWithKey);

let waiting = 0;
match.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => fillList(true), 150); });
more.addEventListener("click", () => fillList(false));
addEventListener("hashchange", showChosen);

open.addEventListener("click", () => { said.hidden = true; dialog.showModal(); });
whenKeyIsWanted((why) => {
  said.textContent = why;
  said.hidden = !why;
  if (!dialog.open) dialog.showModal();
});
// before the dialog closes, so that no refusal of the key before opens it again
dialog.querySelector("form").addEventListener("submit", (event) => {
  useKey(event.submitter?.value === "forget" ? "" : key.value);
  key.value = "";
  open.textContent = hasKey() ? "Key in use" : "Key";
  fillList(true);
  showChosen();
});

fillList(true);
showChosen();
