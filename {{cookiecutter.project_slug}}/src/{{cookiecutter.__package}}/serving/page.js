"use strict";
const form = document.getElementById("form");
const answer = document.getElementById("answer");
const why = document.getElementById("why");
const key = document.getElementById("key");

function element(name, text, className) {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function valueOf(field) {
  const text = field.value.trim();
  if (text === "") return null;
  const type = field.dataset.type;
  if (type === "boolean") return text === "true";
  if (type === "number" || type === "integer") {
    const number = Number(text);
    return Number.isFinite(number) ? number : text;
  }
  return field.value;
}

function clearErrors() {
  for (const field of form.querySelectorAll("[data-type]")) {
    field.removeAttribute("aria-invalid");
    document.getElementById(field.id.replace("f", "e")).textContent = "";
  }
}

function showFaults(detail) {
  if (!Array.isArray(detail)) return answer.replaceChildren(element("p", detail));
  let first = null;
  for (const fault of detail) {
    const field = form.elements.namedItem(fault.field || "");
    if (!field) continue;
    field.setAttribute("aria-invalid", "true");
    document.getElementById(field.id.replace("f", "e")).textContent = fault.rule;
    first = first || field;
  }
  const rules = detail.map((fault) => `${fault.field || "The row"}: ${fault.rule}.`);
  answer.replaceChildren(...rules.map((rule) => element("p", rule)));
  if (first) first.focus();
}

function show(value) {
  if (value === null) return "unknown";
  return typeof value === "number" ? String(Number(value.toPrecision(6))) : String(value);
}

function showAnswer(found) {
  const { prediction, score } = found;
  const lines = [element("p", `Prediction: ${show(prediction.prediction)}`)];
  lines.push(element("p", `${score.about}: ${show(score.value)}`));
  if (prediction.lower !== undefined && prediction.lower !== null) {
    lines.push(element("p", `Between ${show(prediction.lower)} and ${show(prediction.upper)}`));
  }
  answer.replaceChildren(...lines);
  const rows = found.columns.map((column) => {
    const row = document.createElement("tr");
    const head = element("th", column.field);
    head.scope = "row";
    const sign = column.change > 0 ? "+" : "";
    row.append(head, element("td", show(column.value), "number"));
    row.append(element("td", show(column.reference), "number"));
    row.append(element("td", sign + show(column.change), "number"));
    return row;
  });
  why.tBodies[0].replaceChildren(...rows);
  why.hidden = false;
}

async function showCard(headers) {
  const reply = await fetch("model", { headers: { ...headers, Accept: "text/html" } });
  if (reply.ok) document.getElementById("card").innerHTML = await reply.text();
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  clearErrors();
  why.hidden = true;
  const row = {};
  for (const field of form.querySelectorAll("[data-type]")) row[field.name] = valueOf(field);
  const headers = key ? { "X-API-Key": key.value } : {};
  try {
    const reply = await fetch("explain", {
      method: "POST",
      headers: { ...headers, "Content-Type": "application/json" },
      body: JSON.stringify({ row }),
    });
    const found = await reply.json();
    if (!reply.ok) return showFaults(found.detail);
    showAnswer(found);
    if (key) await showCard(headers);
  } catch (error) {
    answer.replaceChildren(element("p", "The service does not answer; try again soon."));
  }
});

form.addEventListener("reset", clearErrors);
