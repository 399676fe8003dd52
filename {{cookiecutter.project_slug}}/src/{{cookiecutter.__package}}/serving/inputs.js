"use strict";
// Rows in the browser: the rules of rows.py, and what inputs.py makes of dates and texts.

const WORD = /[\p{L}\p{N}_]{2,}/gu;
const DAY = 86_400_000;
const MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split(" ");
// The directives of strptime that are known here, each with what it reads.
const DIRECTIVES = {
  Y: "(?<year>\\d{4})",
  y: "(?<short>\\d\\d)",
  m: "(?<month>1[0-2]|0?[1-9])",
  b: `(?<name>${MONTHS.join("|")})`,
  B:
    "(?<name>january|february|march|april|may|june|july|august|september|october|november" +
    "|december)",
  d: "(?<day>3[01]|[12]\\d|0?[1-9])",
  H: "(?<hour>2[0-3]|[01]?\\d)",
  I: "(?<twelve>1[0-2]|0?[1-9])",
  p: "(?<half>am|pm)",
  M: "(?<minute>[0-5]?\\d)",
  S: "(?<second>[0-5]?\\d)",
  f: "(?<fraction>\\d{1,6})",
  z: "(?<zone>z|[+-]\\d\\d:?[0-5]\\d)",
  "%": "%",
};
const HOUR = "(?:[01]\\d|2[0-3])";
const ZONE = `(?<zone>Z|[+-]${HOUR}(?::?[0-5]\\d)?)?`;
const timeOf = (hour, colon) => {
  const seconds = `(?:${colon}(?<second>[0-5]\\d)(?:[.,](?<fraction>\\d+))?)?`;
  return `(?<hour>${hour})(?:${colon}(?<minute>[0-5]\\d)${seconds})?${ZONE}`;
};
// ISO 8601, and what is read nearly so: 2024-01, 2024/1/31 8:30.
const ISO = [":", ""].flatMap((colon) => [
  ...["-", ""].map((dash) => {
    const date = `(?<year>\\d{4})${dash}(?<month>\\d\\d)${dash}(?<day>\\d\\d)`;
    return new RegExp(`^${date}(?:.${timeOf(HOUR, colon)})?$`, "s");
  }),
  new RegExp(
    "^(?<year>\\d{4})(?:(?<mark>[-/. ])(?<month>\\d\\d?)(?:\\k<mark>(?<day>\\d\\d?)" +
      `(?:[ T]${timeOf("2[0-3]|[01]?\\d", colon)})?)?)?$`,
  ),
]);

function words(text) {
  return (text.toLowerCase().match(WORD) ?? []).join(" ");
}

// Write the months of a date in English, as data/dates.py does: 5 de mayo de 2021 is 5 May 2021.
function inEnglish(text, months) {
  const word = /(?<![\p{L}\p{N}_])del?(?![\p{L}\p{N}_])|\p{L}{3,}(?:\.(?=[\s,]|$))?/giu;
  return text
    .replace(word, (found) => monthOf(found, months))
    .trim()
    .replace(/\s+/g, " ");
}

function monthOf(word, months) {
  if (/^del?$/i.test(word)) return "";
  const lettersOf = (each) => each.toLowerCase().normalize("NFKD").replace(/\P{L}/gu, "");
  const letters = lettersOf(word);
  const names = months.map(lettersOf);
  const shortens = (name) => {
    let at = -1;
    for (const letter of letters) if ((at = name.indexOf(letter, at + 1)) < 0) return false;
    return letters[0] === name[0];
  };
  const short = names.filter(shortens);
  const name = names.includes(letters) ? letters : short.length === 1 ? short[0] : null;
  return name === null ? word : MONTHS[names.indexOf(name)];
}

const clocks = {}; // by their zone: to make one takes longer than to ask it

// Return how far the clocks of a zone are ahead of UTC, in milliseconds.
function aheadOf(zone, time) {
  if (/^[+-]/.test(zone)) return minutesOf(zone) * 60_000;
  const units = ["year", "month", "day", "hour", "minute", "second"];
  const shown = Object.fromEntries(units.map((unit) => [unit, "numeric"]));
  const options = { ...shown, timeZone: zone, hourCycle: "h23" };
  const clock = (clocks[zone] ??= new Intl.DateTimeFormat("en-US", options));
  const parts = Object.fromEntries(
    clock.formatToParts(time).map(({ type, value }) => [type, Number(value)]),
  );
  const local = new Date(0);
  local.setUTCFullYear(parts.year, parts.month - 1, parts.day);
  local.setUTCHours(parts.hour, parts.minute, parts.second);
  return local.getTime() - Math.floor(time / 1000) * 1000;
}

function patternsOf(format) {
  if (!format) return ISO;
  const source = format.replace(/%(.)|\s+|[.*+?^${}()|[\]\\\/]/g, (sign, directive) => {
    if (directive) return DIRECTIVES[directive];
    return sign.trim() ? `\\${sign}` : "\\s+";
  });
  return [new RegExp(`^${source}$`, "i")];
}

// Return year, month, day, weekday (from Monday, 0), hour and days since 1970, in the time of the
// column's zone, which is UTC where it has none; or null.
function readDate(text, { format, months, lastYear, zone }) {
  let found = null;
  const written = months ? inEnglish(text, months) : text;
  for (const pattern of patternsOf(format)) found ??= pattern.exec(written);
  if (!found) return null;
  const { groups } = found;
  const last = lastYear ?? 2068;
  const year = groups.short
    ? last - ((last - Number(groups.short)) % 100)
    : Number(groups.year ?? 1900);
  const named = groups.name && MONTHS.indexOf(groups.name.slice(0, 3).toLowerCase()) + 1;
  const month = Number(named ?? groups.month ?? 1);
  const day = Number(groups.day ?? 1);
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  // A day that its month lacks has become one of the next.
  if (year < 1 || date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return null;
  date.setUTCHours(hourOf(groups), Number(groups.minute ?? 0), Number(groups.second ?? 0));
  date.setTime(date.getTime() - minutesOf(groups.zone) * 60_000);
  const years = date.getUTCFullYear();
  if (years < 1 || years > 9999) return null;
  if (zone) date.setTime(date.getTime() + aheadOf(zone, date.getTime()));
  const fraction = Number(`0.${(groups.fraction ?? "0").slice(0, 6)}`) * 1000;
  const weekday = (date.getUTCDay() + 6) % 7;
  const days = (date.getTime() + fraction) / DAY;
  return [date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate(), weekday, date.getUTCHours(), days];
}

function hourOf({ hour = "0", twelve, half = "am" }) {
  if (!twelve) return Number(hour);
  return (Number(twelve) % 12) + (half.toLowerCase() === "pm" ? 12 : 0);
}

// Return how far a zone is ahead of UTC.
function minutesOf(zone = "Z") {
  if (zone.toLowerCase() === "z") return 0;
  const [, sign, hours, minutes = "0"] = /([+-])(\d\d):?(\d\d)?/.exec(zone);
  return Number(`${sign}1`) * (Number(hours) * 60 + Number(minutes));
}

// Return the rule that a value breaks, or null.
function faultOf(column, value) {
  if (value === null) return null;
  if (column.type === "number" || column.type === "integer") {
    if (typeof value !== "number") return "has to be a number";
    if (value < column.minimum) return `has to be at least ${show(column.minimum)}`;
    if (value > column.maximum) return `has to be at most ${show(column.maximum)}`;
    const whole = column.type === "number" || Number.isInteger(value);
    return whole ? null : "has to be a whole number";
  }
  if (column.type === "boolean")
    return typeof value === "boolean" ? null : "has to be true or false";
  if (typeof value !== "string") return "has to be text";
  if (column.type === "datetime") {
    const how = column.format ?? "ISO 8601 (2024-01-31 or 2024-01-31T12:30:00Z)";
    return readDate(value, column) ? null : `has to be a date as ${how}`;
  }
  if (value.includes("\0")) return "has to be text without the character NUL";
  if (!BUNDLE.strict || !column.categories || column.categories.includes(value)) return null;
  const few = column.categories.slice(0, 10).join(", ");
  return `has to be one of ${few}${column.categories.length > 10 ? " ..." : ""}`;
}

function faultsOf(row) {
  const faults = BUNDLE.columns.map((each) => ({
    field: each.name,
    rule: faultOf(each, row[each.name]),
  }));
  return faults.filter((fault) => fault.rule);
}

// Return what a value without faults becomes: a number, a text, or a date's numbers.
function inputOf(column, value) {
  const { type } = column;
  if (type === "datetime")
    return value === null ? Array(6).fill(NaN) : readDate(value, column);
  if (["number", "integer", "boolean"].includes(type)) return value === null ? NaN : Number(value);
  if (value === null) return "";
  return type === "text" ? words(value) : value;
}
