// What the pages need beyond htmx: tabs, copy buttons, questions before something is lost, a countdown, a filter.
// Nothing is decided here; the server says what is right.
"use strict";

// htmx puts the server's own, escaped HTML into the page; nothing else may (Trusted Types).
if (window.trustedTypes) window.trustedTypes.createPolicy("default", { createHTML: (html) => html });

const byId = (id) => document.getElementById(id);
const every = (selector, root = document) => Array.from(root.querySelectorAll(selector));

// ---- Light or dark

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* it lasts as long as the page */ }
}

// ---- Say something that passes

let saying = 0;
function say(text) {
  const place = byId("said");
  place.textContent = text;
  place.classList.add("shown");
  clearTimeout(saying);
  saying = setTimeout(() => place.classList.remove("shown"), 4000);
}

// ---- Copy

async function copy(button) {
  const source = button.dataset.copyFrom ? byId(button.dataset.copyFrom).textContent : button.dataset.copy;
  try {
    await navigator.clipboard.writeText(source.trim());
    say("Copied.");
  } catch {
    say("This browser does not let the page copy. Select the text and copy it by hand.");
  }
}

// ---- Tabs (WAI-ARIA: tabs with automatic activation)

function showTab(tab, { focus = false } = {}) {
  for (const other of every('[role="tab"]', tab.closest('[role="tablist"]'))) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", String(chosen));
    other.tabIndex = chosen ? 0 : -1;
    byId(other.getAttribute("aria-controls")).hidden = !chosen;
  }
  if (byId("tab")) byId("tab").value = tab.dataset.name; // so that the form is filled anew for it
  if (focus) tab.focus();
}

function moveAlongTabs(event) {
  const tabs = every('[role="tab"]', event.target.closest('[role="tablist"]'));
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const at = tabs.indexOf(event.target);
  const next = event.key === "Home" ? 0 : event.key === "End" ? tabs.length - 1 : at + step;
  if (Number.isNaN(next)) return;
  event.preventDefault();
  showTab(tabs[(next + tabs.length) % tabs.length], { focus: true });
}

// Bring the field into view that a sentence is about, whichever tab it is on.
function goTo(id) {
  const target = byId(id);
  if (!target) return;
  const panel = target.closest('[role="tabpanel"]');
  if (panel && panel.hidden) showTab(document.querySelector(`[aria-controls="${panel.id}"]`));
  for (let d = target.closest("details"); d; d = d.parentElement.closest("details")) d.open = true;
  target.scrollIntoView({ block: "center", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  target.focus({ preventScroll: true });
}

// ---- Questions before something is lost

function ask(text, yes) {
  const dialog = byId("ask");
  byId("ask-text").textContent = text;
  dialog.querySelector("[data-yes]").textContent = yes || "Yes";
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((done) => dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true }));
}

document.addEventListener("htmx:confirm", async (event) => {
  if (!event.detail.question) return;
  event.preventDefault();
  const yes = event.detail.elt.dataset.yes;
  if (await ask(event.detail.question, yes)) event.detail.issueRequest(true);
});

// While a question is open, what it is about stays as it is: the answer must reach the button that asked.
document.addEventListener("htmx:oobBeforeSwap", (event) => { if (byId("ask").open) event.detail.shouldSwap = false; });

// What somebody is typing into stays theirs: an answer about an earlier letter does not write over it.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const place = event.detail.target;
  if (place.matches("[data-typed]") && place.contains(document.activeElement)) event.detail.shouldSwap = false;
});

// ---- Bring files: each goes to the server as it is, one after the other

async function bring(input) {
  const headers = { "Content-Type": "application/octet-stream", "HX-Request": "true", ...JSON.parse(document.body.getAttribute("hx-headers") || "{}") };
  for (const file of Array.from(input.files)) {
    say(`Bringing ${file.name} …`);
    try {
      const answer = await fetch(input.dataset.upload + encodeURIComponent(file.name), { method: "PUT", body: file, headers });
      const html = await answer.text();
      const place = byId(input.dataset.uploadTo);
      if (answer.ok) htmx.swap(place, html, { swapStyle: "innerHTML" });
      else htmx.swap(byId("editor-says"), html, { swapStyle: "innerHTML" });
      say(answer.ok ? `${file.name} is there.` : `${file.name} was not taken.`);
    } catch { byId("offline").hidden = false; }
  }
  const templates = Array.from(input.files).some((file) => /\.(html?|txt|typ|md)$/i.test(file.name));
  input.value = "";
  document.body.dispatchEvent(new Event("brought"));
  if (!templates) return;
  if (typed) say("A template came. Save what you typed, then load the page again to see it.");
  else { location.hash = "tab-templates"; location.reload(); }
}

// ---- Countdown: data-until is wall time in seconds, data-now the server's clock when it was written

let skew = 0;
function tick() {
  for (const place of every("[data-until]")) {
    const left = Math.max(0, Math.round(Number(place.dataset.until) - (Date.now() / 1000 + skew)));
    place.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  }
}
setInterval(tick, 1000);

// ---- What is new on the page

// Whether a sign-in's page was opened already; a page that is loaded again does not open it a second time.
function opened(work) {
  const seen = sessionStorage.getItem("opened") === work;
  sessionStorage.setItem("opened", work);
  return seen;
}

function arrive(root) {
  for (const place of every("[data-now]", root)) skew = Number(place.dataset.now) - Date.now() / 1000;
  tick();
  for (const link of every("a[data-open]", root)) {
    if (opened(link.dataset.open)) continue;
    window.open(link.href, "_blank", "noopener"); // where the browser does not allow it, the link is there to press
  }
  for (const place of [root, ...every("[data-connected]", root)].filter((one) => one.matches("[data-connected]"))) {
    const editor = byId("editor");
    if (editor) editor.dataset.isConnected = place.dataset.connected; // the steps above are done then
  }
  for (const place of every("[data-said]", root)) say(place.dataset.said);
  for (const place of [root, ...every("[data-focus]", root)].filter((one) => one.matches("[data-focus]"))) {
    place.scrollIntoView({ block: "nearest" });
    place.focus({ preventScroll: true });
  }
}

// What is open stays open when a check of what was typed brings it anew.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  for (const place of every("details[open][id]", event.detail.target)) {
    const fresh = event.detail.fragment.querySelector(`#${place.id}`);
    if (fresh) fresh.open = true;
  }
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-upload]")) bring(event.target);
});

document.addEventListener("htmx:load", (event) => arrive(event.detail.elt));

document.addEventListener("DOMContentLoaded", () => {
  if (location.hash.length < 2) return;
  goTo(location.hash.slice(1));
  if (document.activeElement.matches('[role="tab"]')) showTab(document.activeElement);
});

document.addEventListener("click", (event) => {
  const at = (selector) => event.target.closest(selector);
  if (at("[data-theme-switch]")) switchTheme();
  else if (at("[data-copy], [data-copy-from]")) copy(at("[data-copy], [data-copy-from]"));
  else if (at("[data-go]")) { event.preventDefault(); goTo(at("[data-go]").dataset.go); }
  else if (at('[role="tab"]')) showTab(at('[role="tab"]'));
  // One menu is open at a time, and a click elsewhere closes it.
  const inside = at("details.menu");
  for (const menu of every("details.menu[open]")) if (menu !== inside) menu.open = false;
});

document.addEventListener("keydown", (event) => {
  if (event.target.matches('[role="tab"]')) moveAlongTabs(event);
  if (event.key === "Enter" && event.target.matches("[data-enter]")) { // its own button, not the form's
    event.preventDefault();
    event.target.parentElement.querySelector("button").click();
  }
  if (event.key === "Escape") {
    for (const menu of every("details.menu[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
  }
});

document.addEventListener("input", (event) => {
  if (!event.target.matches("[data-filter]")) return;
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of every(event.target.dataset.filter)) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
    if (!row.hidden) shown += 1;
  }
  byId("filter-found").textContent = words.length ? `${shown} found` : "";
});

// ---- A form that is filled anew keeps what was done while it was on its way: text, choices, the tab, open folds
let meanwhile = null;
document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, shouldSwap, requestConfig } = event.detail;
  if (target.id !== "editor-body" || !shouldSwap) return;
  const asked = requestConfig.formData;
  const changed = every("[name]", target).filter((one) => asked.has(one.name) && asked.get(one.name) !== one.value);
  meanwhile = { changed, open: every("details[open][id]", target), at: document.activeElement };
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (!meanwhile || event.detail.target.id !== "editor-body") return;
  const { changed, open, at } = meanwhile;
  meanwhile = null;
  for (const old of changed) {
    const fresh = event.detail.target.querySelector(`[name="${old.name}"]`);
    if (!fresh || (old.options && !Array.from(fresh.options).some((one) => one.value === old.value))) continue;
    fresh.value = old.value;
  }
  for (const fold of open) if (byId(fold.id)) byId(fold.id).open = true;
  showTab(document.querySelector('[role="tab"][aria-selected="true"]'));
  const focused = at.id && byId(at.id); // htmx cannot focus what was hidden a moment ago
  if (!focused) return;
  focused.focus({ preventScroll: true });
  if (at.selectionEnd) focused.setSelectionRange(at.selectionStart, at.selectionEnd);
});

// ---- While a button of the mouse is down, what nobody asked for does not move what it is on: the press would be lost
let down = -Infinity; // since when; one whose end was never told, in a menu of the system's, ends after ten seconds
document.addEventListener("pointerdown", () => { down = performance.now(); }, true);
for (const up of ["pointerup", "pointercancel", "contextmenu"]) document.addEventListener(up, () => { down = -Infinity; }, true);
document.addEventListener("htmx:beforeOnLoad", (event) => {
  const { elt } = event.detail;
  const check = elt.id === "editor-body";
  if (performance.now() - down > 10_000 || !(check || elt.matches('[hx-trigger^="every"]'))) return;
  event.preventDefault();
  if (check) setTimeout(() => htmx.trigger(elt, "change"), 100); // asked again; what polls asks again by itself
});

// ---- A check waits for what is under way, and is not queued by htmx: there it would take the place of what was pressed.
// A choice that fills the form anew is its own request, and Save's answer says everything a check would.
let unchecked = false;
document.addEventListener("htmx:confirm", (event) => {
  const { elt, triggeringEvent } = event.detail;
  if (elt.id !== "editor-body") return;
  const needless = byId("editor").matches(".htmx-request") || triggeringEvent?.target.matches("select[hx-post]");
  const early = elt.matches(".htmx-request") || elt.querySelector("[hx-sync].htmx-request");
  if (needless || early) event.preventDefault();
  if (early && !needless) unchecked = true;
});
document.addEventListener("htmx:afterRequest", (event) => {
  const body = byId("editor-body");
  if (!unchecked || !body.contains(event.detail.elt)) return;
  unchecked = false;
  htmx.trigger(body, "change");
});

// ---- A report's fields and its source are one text: what was typed last is right, whichever tab is shown by then
document.addEventListener("input", (event) => {
  const panel = byId("typed-in") && event.target.closest("#panel-report, #panel-source");
  if (panel) byId("typed-in").value = panel.id.replace("panel-", "");
});

// ---- What was typed and not saved is not lost without a question

let typed = false;
document.addEventListener("input", (event) => { if (event.target.closest("#editor") && !event.target.closest("#sign-in-box")) typed = true; });
document.addEventListener("htmx:beforeOnLoad", (event) => {
  if (event.detail.xhr.getResponseHeader("HX-Redirect") || event.detail.xhr.getResponseHeader("HX-Replace-Url")) typed = false;
});
window.addEventListener("beforeunload", (event) => { if (typed) event.preventDefault(); });

// ---- When the server does not answer

document.addEventListener("htmx:sendError", () => { byId("offline").hidden = false; });
document.addEventListener("htmx:afterRequest", (event) => { if (event.detail.xhr.status) byId("offline").hidden = true; });
document.addEventListener("htmx:responseError", (event) => {
  say(event.detail.xhr.status >= 500 ? "The server met a fault of its own. Try again." : "That was refused. Reload the page and try again.");
});
