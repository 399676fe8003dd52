"use strict";
// A CSV file in the browser: each row of it predicted, and the predictions as a file to save.

const SHOWN_FAULTS = 10;
const PIECE = 500;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const TRUTHS = { true: true, yes: true, t: true, y: true, 1: true, "1.0": true };
Object.assign(TRUTHS, { false: false, no: false, f: false, n: false, 0: false, "0.0": false });
const scored = document.getElementById("scored");

// Return the lines of a CSV file as lists of fields, and what divides these, as the header tells.
function readLines(text) {
  const header = text.split(/[\r\n]/, 1)[0];
  const count = (sign) => header.split(sign).length;
  const sign = [",", ";", "\t"].sort((a, b) => count(b) - count(a))[0];
  const field = new RegExp(
    `(?:"([^"]*(?:""[^"]*)*)"|([^"${sign}\r\n][^${sign}\r\n]*)?)(${sign}|\r?\n|\r|$)`,
    "y",
  );
  const lines = [];
  let line = [];
  while (field.lastIndex < text.length || line.length) {
    const found = field.exec(text);
    if (!found) throw new Refused(`Line ${lines.length + 1} has a quotation mark out of place.`);
    line.push(found[1]?.replaceAll('""', '"') ?? found[2] ?? "");
    if (found[3] === sign) continue;
    lines.push(line);
    line = [];
  }
  return { sign, lines: lines.filter((each) => each.length > 1 || each[0] !== "") };
}

// Tell whether numbers are written 1,5 and none 1.5, as batches of earlier bundles tell it.
function hasDecimalComma(sign, lines) {
  const some = (pattern) => lines.some((line) => line.some((field) => pattern.test(field)));
  return sign === ";" && some(/^-?\d+,\d+$/) && !some(/^-?\d+\.\d+$/);
}

// Return a number as batches of earlier bundles read it, or the text itself.
function earlierNumber(text, comma) {
  const written = comma ? text.replace(",", ".") : text;
  return NUMBER.test(written) && Number.isFinite(Number(written)) ? Number(written) : text;
}

// Return a number as its column writes it (1.234,50 €), or the text itself if it is none.
function numberIn(column, text) {
  let plain = text.replace(/[\u2212\u2013]/g, "-").replaceAll("\u2019", "'").trim();
  if (column.unit) plain = plain.replace(column.unit, "").trim();
  const marks = column.decimal === "," ? [",", "[.' \u00a0\u202f]"] : ["\\.", "[,' \u00a0\u202f]"];
  const whole = `(?:\\d+|[1-9]\\d{0,2}(?:${marks[1]}\\d{2,3})*${marks[1]}\\d{3})`;
  const written = new RegExp(`^([+-]?)(${whole}?)(?:${marks[0]}(\\d*))?(e[+-]?\\d+)?$`, "i");
  const turned = plain.replace(/^\((.*)\)$/, "-$1").replace(/^(.*\d) ?-$/, "-$1");
  const found = written.exec(turned.replace(/^([+-]) /, "$1"));
  if (!found || !(found[2] || found[3])) return text;
  const [, sign, digits, places = "", power = ""] = found;
  const value = Number(`${sign}${digits.replace(/\D/g, "")}.${places}${power}`);
  return Number.isFinite(value) ? value : text;
}

// Return a field as its column's type; what cannot be read stays text, which breaks a rule.
function valueIn(column, text, comma) {
  const plain = text.trim();
  const isText = ["category", "string", "text"].includes(column.type);
  const spelt = isText ? text : plain;
  const word = BUNDLE.earlier || column.exact ? text : plain;
  if (text === "" || BUNDLE.absent.includes(text) || column.missing.includes(word)) return null;
  if ((!isText || BUNDLE.earlier) && BUNDLE.missing.includes(spelt)) return null;
  if (column.type === "boolean") return TRUTHS[plain.toLowerCase()] ?? text;
  if (column.type === "number" || column.type === "integer") {
    return BUNDLE.earlier ? earlierNumber(plain, comma) : numberIn(column, plain);
  }
  if (!column.categories || column.categories.includes(word)) return word;
  // Other spellings of the same: TRUE for True, 1.0 for 1.
  const low = plain.toLowerCase();
  const same = column.categories.filter((each) => each.toLowerCase() === low);
  if (same.length === 1 && (low === "true" || low === "false")) return same[0];
  const number = NUMBER.test(plain) ? String(Number(plain)) : word;
  return column.categories.includes(number) ? number : word;
}

function checkNames(names) {
  const lacking = BUNDLE.columns.find((column) => !names.includes(column.name));
  if (lacking) throw new Refused(`The file has no column '${lacking.name}'.`);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw new Refused(`The file has the column '${twice}' twice.`);
  const strange = names.find((name) => !BUNDLE.known.includes(name));
  if (BUNDLE.strict && strange !== undefined) {
    throw new Refused(`The column '${strange}' was not there in training.`);
  }
}

// Return the predictions for a CSV file's text, as the text of another.
async function predictText(text) {
  const { sign, lines: all } = readLines(text);
  const [names, ...lines] = all;
  checkNames(names ?? []);
  if (!lines.length) throw new Refused("The file has no rows.");
  const short = lines.findIndex((line) => line.length !== names.length);
  if (short >= 0)
    throw new Refused(
      `Row ${short + 1} has ${lines[short].length} fields, and ${names.length} are due.`,
    );
  const places = BUNDLE.columns.map((column) => [column, names.indexOf(column.name)]);
  const comma = BUNDLE.earlier && hasDecimalComma(sign, lines);
  const valuesOf = (line) =>
    places.map(([column, at]) => [column.name, valueIn(column, line[at], comma)]);
  const rows = lines.map((line) => Object.fromEntries(valuesOf(line)));
  const faults = rows.flatMap((row, at) =>
    faultsOf(row).map((fault) => ({ row: at + 1, ...fault })),
  );
  if (faults.length) throw new Refused(faults);
  const ids = BUNDLE.ids.filter((name) => names.includes(name));
  const isClass = BUNDLE.kind === "class";
  const shares = BUNDLE.classes.map((name) => `probability_${name}`);
  const output = [[...ids, "prediction", ...(isClass ? shares : ["lower", "upper"])]];
  for (let from = 0; from < rows.length; from += PIECE) {
    const scores = await score(rows.slice(from, from + PIECE));
    for (const [at, each] of scores.entries()) {
      const { prediction, lower, upper } = predictionOf(each);
      const own = ids.map((name) => lines[from + at][names.indexOf(name)]);
      output.push([...own, prediction, ...(isClass ? each : [lower, upper])]);
    }
    await new Promise((next) => setTimeout(next)); // the page stays awake
  }
  return {
    count: rows.length,
    text: output.map((line) => `${line.map(quote).join(",")}\n`).join(""),
  };
}

function quote(value) {
  const text = Number.isNaN(value) ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function sentencesOf({ detail }) {
  if (!Array.isArray(detail)) return [detail];
  const shown = detail
    .slice(0, SHOWN_FAULTS)
    .map((fault) => `Row ${fault.row}, ${fault.field}: ${fault.rule}.`);
  return detail.length > SHOWN_FAULTS ? [...shown, `${detail.length - SHOWN_FAULTS} more.`] : shown;
}

document.getElementById("file").addEventListener("change", async ({ target }) => {
  const [file] = target.files;
  if (!file) return;
  scored.replaceChildren(element("p", "Predicting."));
  try {
    const content = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    const { count, text } = await predictText(content);
    const link = element("a", "Save the predictions");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = `${file.name.replace(/\.\w+$/, "")}_predicted.csv`;
    const end = document.createElement("p");
    end.append(link);
    scored.replaceChildren(element("p", `Rows predicted: ${count}.`), end);
  } catch (error) {
    const sentences =
      error instanceof Refused
        ? sentencesOf(error)
        : ["The file cannot be read as a CSV file in UTF-8."];
    scored.replaceChildren(...sentences.map((sentence) => element("p", sentence)));
  }
  target.value = ""; // so that the same file, mended, can be chosen again
});
