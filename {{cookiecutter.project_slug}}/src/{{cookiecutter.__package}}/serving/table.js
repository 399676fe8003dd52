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

// Return a time of day or a duration in seconds, or the text itself if it is neither.
function secondsIn(column, text) {
  const [clock, iso] = column.patterns.map((each) => new RegExp(`^(?:${each})$`, "i"));
  const valueOf = (digits = "0") => Number(digits.replace(",", "."));
  const sum = (whole, part) => (whole * 1e6 + Math.round(part * 1e6)) / 1e6;
  const length = iso.exec(text)?.groups;
  if (length) {
    const { sign, weeks, days, hours, minutes, seconds } = length;
    const whole = (valueOf(weeks) * 7 + valueOf(days)) * 24 + valueOf(hours);
    const found = sum(whole * 3600 + valueOf(minutes) * 60, valueOf(seconds));
    return sign === "-" ? -found : found;
  }
  const found = clock.exec(text)?.groups;
  if (!found) return text;
  const { days, sign, first, second, third, fraction, half } = found;
  const short = column.format === "M:S" && third === undefined;
  if (half && (short || first < 1 || first > 12)) return text;
  if (third === undefined && fraction && !short) return text;
  const hour = half ? (first % 12) + (half.toLowerCase() === "p" ? 12 : 0) : Number(first);
  const whole = short
    ? hour * 60 + Number(second)
    : hour * 3600 + Number(second) * 60 + valueOf(third);
  const time = sum(whole, valueOf(fraction));
  return valueOf(days) * 86_400 + (sign === "-" ? -time : time);
}

// Return a number as its column writes it (1.234,50 €), or the text itself if it is none: what
// numbers.py makes of one word, by its patterns.
function numberIn(column, text) {
  if (column.format) return secondsIn(column, text.trim());
  const [written, digits, grouping] = column.patterns;
  let plain = text.trim();
  for (const [found, meant] of Object.entries(BUNDLE.alike)) {
    plain = plain.replaceAll(found, meant);
  }
  const found = new RegExp(written).exec(plain)?.groups;
  if (!found || !new RegExp(digits).test(found.digits)) return text;
  const signs = [found.open, found.sign, found.inner, found.behind?.trim()].filter(Boolean);
  const isPaired = Boolean(found.open) === Boolean(found.close);
  if (signs.length > 1 || !isPaired || (found.before && found.after)) return text;
  const bare = found.digits.replace(new RegExp(grouping, "g"), "").replace(",", ".");
  const value = Number(`${bare}${found.exponent ?? ""}`);
  if (!Number.isFinite(value)) return text;
  return signs.length && signs[0] !== "+" ? -value : value;
}

// Return a field as its column's type; what cannot be read stays text, which breaks a rule.
function valueIn(column, text, comma) {
  const plain = text.trim();
  const isText = ["category", "string", "text"].includes(column.type);
  const word = BUNDLE.earlier || column.exact ? text : plain;
  const spelt = isText ? text : plain;
  if (word === "" || BUNDLE.absent.includes(word) || column.missing.includes(word)) return null;
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
  const lacking = BUNDLE.needed.find((name) => !names.includes(name));
  if (lacking !== undefined) throw new Refused(`The file has no column '${lacking}'.`);
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
    places.map(([column, at]) => [column.name, valueIn(column, line[at] ?? "", comma)]);
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
