"use strict";
// The form: it hands a row to `ask`, which another script defines, and shows what comes back.

const form = document.getElementById("form");
const answer = document.getElementById("answer");
const shares = document.getElementById("shares");
const why = document.getElementById("why");
const key = document.getElementById("key");
// What kind of prediction comes back, and what its properties are called.
const ANSWER = JSON.parse(form.dataset.answer);
const fields = [...document.querySelectorAll("[data-column]")];
const errorOf = (field) =>
  document.getElementById(field.getAttribute("aria-describedby").split(" ").pop());

// Thrown by `ask`: what is wrong with a row or, as a sentence, with the request; and where.
class Refused extends Error {
  constructor(detail, field = null) {
    super("refused");
    Object.assign(this, { detail, field });
  }
}

function element(name, text, className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

function valueOf(field) {
  const text = field.value.trim();
  if (text === "") return null;
  const type = field.dataset.type;
  if (type === "boolean") return text === "true";
  if (type === "number" || type === "integer") {
    // 1.234 may be in the thousands: whoever predicts knows how the column writes numbers.
    const number = field.dataset.decimal === "," ? NaN : Number(text);
    return Number.isFinite(number) ? number : text;
  }
  return field.value;
}

function clear() {
  for (const field of key ? [key, ...fields] : fields) {
    field.removeAttribute("aria-invalid");
    errorOf(field).textContent = "";
  }
  shares.hidden = why.hidden = true;
}

function mark(field, rule) {
  field.setAttribute("aria-invalid", "true");
  errorOf(field).textContent = rule;
}

function say(...sentences) {
  answer.replaceChildren(...sentences.map((sentence) => element("p", sentence)));
}

function showRefusal({ detail, field }) {
  if (Array.isArray(detail)) {
    for (const { field: column, rule } of detail) {
      const wrong = fields.find((each) => each.dataset.column === column);
      if (wrong) mark(wrong, rule);
    }
    say(...detail.map((fault) => `${fault.field || "The row"}: ${fault.rule}.`));
  } else {
    if (field === "key") mark(key, detail);
    say(detail);
  }
  document.querySelector("#form [aria-invalid]")?.focus();
}

function show(value) {
  if (value === null || value === undefined) return "unknown";
  if (typeof value === "object") return JSON.stringify(value);
  return typeof value === "number" ? String(Number(value.toPrecision(6))) : String(value);
}

function fill(table, lines) {
  const rows = lines.map(([first, ...others]) => {
    const row = document.createElement("tr");
    const head = element("th", first);
    head.scope = "row";
    row.append(head, ...others.map((text) => element("td", text, "number")));
    return row;
  });
  table.tBodies[0].replaceChildren(...rows);
  table.hidden = false;
}

function showClass({ prediction, score, positive, threshold }) {
  const decision =
    threshold === undefined ? "" : `; ${positive} is predicted from ${show(threshold)} on`;
  const about = score.about.replace("p", "P");
  answer.append(element("p", `${about}: ${show(score.value)}${decision}.`));
  const lines = Object.entries(prediction.probability).sort((a, b) => b[1] - a[1]);
  if (lines.length < 3) return;
  fill(
    shares,
    lines.map(([name, share]) => [name, show(share)]),
  );
}

function showNumber({ prediction: { lower, upper } }) {
  if (typeof lower === "number")
    answer.append(element("p", `Between ${show(lower)} and ${show(upper)}.`));
}

// Of a kind that only its task knows: every property by its title, those within one by their names.
function showProperties({ prediction }) {
  const { titles } = ANSWER;
  const lines = Object.keys(titles).flatMap((name) => {
    const value = prediction[name];
    const isObject = value !== null && typeof value === "object" && !Array.isArray(value);
    if (!isObject) return [[titles[name], show(value)]];
    return Object.entries(value).map(([key, each]) => [`${titles[name]}: ${key}`, show(each)]);
  });
  if (lines.length > 1) fill(shares, lines);
}

const SHOWN = { class: showClass, number: showNumber };

function showAnswer(found) {
  const { prediction, columns } = found;
  const isClass = ANSWER.kind === "class"; // whose number may be a code of many digits
  say(`Prediction: ${isClass ? prediction.prediction : show(prediction.prediction)}`);
  answer.firstChild.className = "prediction";
  (SHOWN[ANSWER.kind] ?? showProperties)(found);
  if (found.decided_by) answer.append(element("p", "Decided by the team's rule."));
  const change = (number) => (number > 0 ? "+" : "") + show(number);
  fill(
    why,
    columns.map((e) => [e.field, change(e.change), show(e.value), show(e.reference)]),
  );
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  clear();
  const row = Object.fromEntries(fields.map((field) => [field.dataset.column, valueOf(field)]));
  try {
    showAnswer(await ask(row, key?.value));
  } catch (error) {
    if (error instanceof Refused) showRefusal(error);
    else say("There is no answer; try again soon.");
  }
});

form.addEventListener("reset", () => {
  clear();
  say("Not asked yet.");
});
