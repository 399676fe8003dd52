// Filters whose state stands in the address, so that a view can be linked. Without them all is shown.
"use strict";
const form = document.getElementById("filters");
const items = [...document.querySelectorAll("#items li[id]")].map((element) => ({
  element,
  words: element.textContent.toLowerCase(),
}));
const areas = [...document.querySelectorAll("#items .area")];
const unfold = document.getElementById("unfold");
const BOXES = ["state", "stage", "kind"];

const ticked = (name) => [...form.querySelectorAll(`[name=${name}]:checked`)].map((box) => box.value);

function apply() {
  const chosen = Object.fromEntries(BOXES.map((name) => [name, ticked(name)]));
  const area = form.elements.area.value;
  const words = form.elements.q.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const item of items) {
    const data = item.element.dataset;
    const fits =
      BOXES.every((name) => !chosen[name].length || chosen[name].includes(data[name])) &&
      (!area || data.area === area) &&
      words.every((word) => item.words.includes(word));
    item.element.hidden = !fits;
    shown += fits;
  }
  for (const section of areas) section.hidden = !section.querySelector("li[id]:not([hidden])");
  document.getElementById("none").hidden = shown > 0;
  document.getElementById("count").textContent = `${shown} of ${items.length} items shown`;
}

function remember() {
  const parts = new URLSearchParams();
  if (form.elements.area.value) parts.set("area", form.elements.area.value);
  for (const name of BOXES) if (ticked(name).length) parts.set(name, ticked(name).join(","));
  if (form.elements.q.value.trim()) parts.set("q", form.elements.q.value.trim());
  history.replaceState(null, "", `#${parts}`);
}

function recall() {
  const hash = location.hash.slice(1);
  const item = document.getElementById(hash);
  if (item) {
    // A link to an item or an area: nothing may hide it.
    form.reset();
    item.querySelector(":scope > details")?.setAttribute("open", "");
  } else {
    const parts = new URLSearchParams(hash);
    form.elements.q.value = parts.get("q") ?? "";
    form.elements.area.value = parts.get("area") ?? "";
    if (form.elements.area.selectedIndex < 0) form.elements.area.value = "";
    for (const name of BOXES) {
      const values = (parts.get(name) ?? "").split(",");
      for (const box of form.querySelectorAll(`[name=${name}]`)) box.checked = values.includes(box.value);
    }
  }
  apply();
  item?.scrollIntoView({ behavior: "instant" });
}

function open(every) {
  for (const details of document.querySelectorAll("#items details")) details.open = every;
}

form.addEventListener("input", () => { apply(); remember(); });
form.addEventListener("submit", (event) => event.preventDefault());
document.getElementById("all").addEventListener("click", () => { form.reset(); apply(); remember(); });
unfold.addEventListener("click", () => {
  const every = unfold.getAttribute("aria-pressed") === "false";
  unfold.setAttribute("aria-pressed", String(every));
  open(every);
});
addEventListener("hashchange", recall);
addEventListener("beforeprint", () => open(true));
form.hidden = false;
recall();
