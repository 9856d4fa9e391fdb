// What cannot wait for the other scripts: the chosen colours, and hands that are faster than they are.
(() => {
  // Light or dark as the person chose, before the first paint; else as the system says.
  try {
    const chosen = localStorage.getItem("theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch { /* storage is switched off: the system's choice it is */ }

  // What is pressed or typed before the other scripts are ready counts once they are. Until then a form of theirs is
  // not sent: the browser by itself would put what stands in it, passwords too, into an address.
  const early = [];
  const note = (event) => {
    const place = event.type === "click" ? event.target.closest("button") : event.target;
    if (!place || (place.form && !place.form.hasAttribute("hx-post"))) return;
    if (event.type === "click") event.preventDefault();
    early.push([place, event.type]);
  };
  const types = ["click", "input", "change"];
  for (const type of types) document.addEventListener(type, note, true);
  document.addEventListener("DOMContentLoaded", () => setTimeout(() => { // after everybody who waits for the same
    if (!window.htmx) return;
    for (const type of types) document.removeEventListener(type, note, true);
    for (const [place, type] of early) type === "click" ? place.click() : place.dispatchEvent(new Event(type, { bubbles: true }));
  }));
})();
