"use strict";
// The model in the browser: onnxruntime's scores, and what scoring.py and explain.py make of them.
// Pages from a disk may load scripts and nothing else, so runtime and model come in such, zipped.

const SMALLEST = 1e-7;
const ARRAYS = { float: Float32Array, double: Float64Array };
const TYPES = { float: "float32", double: "float64", string: "string" };

async function unpack(text) {
  const zipped = new Blob([Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0))]);
  const stream = zipped.stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function start() {
  const loader = new Blob([await unpack(RUNTIME.loader)], { type: "text/javascript" });
  const { env } = ort;
  env.logLevel = "error";
  env.wasm.numThreads = 1;
  env.wasm.wasmPaths = { mjs: URL.createObjectURL(loader) };
  env.wasm.wasmBinary = await unpack(RUNTIME.wasm);
  return ort.InferenceSession.create(await unpack(ONNX), { executionProviders: ["wasm"] });
}

const session = start().catch((error) => {
  say(`This browser cannot run the model (${error.message}); try a newer one.`);
  throw new Refused(answer.textContent);
});

// Divide the log-probabilities by the temperature, as bundle.py does.
function temper(probabilities) {
  if (BUNDLE.temperature === 1) return probabilities;
  const clipped = probabilities.map((share) => Math.min(Math.max(share, SMALLEST), 1));
  const logits = clipped.map((share) => Math.log(share) / BUNDLE.temperature);
  const most = Math.max(...logits);
  const shares = logits.map((logit) => Math.exp(logit - most));
  const total = shares.reduce((sum, share) => sum + share, 0);
  return shares.map((share) => share / total);
}

function feed({ type, places }, rows) {
  const values = rows.flatMap((row) =>
    places.map(([at, part]) => (part === null ? row[at] : row[at][part])),
  );
  const data = type === "string" ? values : ARRAYS[type].from(values);
  return new ort.Tensor(TYPES[type], data, [rows.length, places.length]);
}

// Return calibrated probabilities of each class, or one value, of rows without faults.
async function score(rows) {
  const inputs = rows.map((row) => BUNDLE.columns.map((each) => inputOf(each, row[each.name])));
  const feeds = Object.fromEntries(BUNDLE.inputs.map((entry) => [entry.name, feed(entry, inputs)]));
  const { data } = (await (await session).run(feeds, [BUNDLE.output]))[BUNDLE.output];
  if (!data.every(Number.isFinite)) {
    throw new Refused("A row is so far from the training data that the model gives no number.");
  }
  const width = data.length / rows.length;
  const scores = rows.map((_, at) => Array.from(data.subarray(at * width, (at + 1) * width)));
  return BUNDLE.kind === "class" ? scores.map(temper) : scores;
}

function numberOf([prediction]) {
  const width = BUNDLE.half ?? NaN;
  return { prediction, lower: prediction - width, upper: prediction + width };
}

function classOf(scores) {
  const { classes, threshold } = BUNDLE;
  const positive = classes.indexOf(BUNDLE.positive);
  let code = scores.indexOf(Math.max(...scores));
  if (threshold !== null) code = scores[positive] >= threshold ? positive : 1 - positive;
  const probability = Object.fromEntries(classes.map((name, at) => [name, scores[at]]));
  return { prediction: BUNDLE.given[code], probability };
}

const predictionOf = { class: classOf, number: numberOf }[BUNDLE.kind];

// The page's way to the model: as the service's /explain, here.
async function ask(given) {
  const valueOf = (column, value) =>
    typeof value === "string" && !BUNDLE.earlier ? valueIn(column, value) : value;
  const row = Object.fromEntries(
    BUNDLE.columns.map((column) => [column.name, valueOf(column, given[column.name])]),
  );
  const faults = faultsOf(row);
  if (faults.length) throw new Refused(faults);
  const { columns, example, classes, given: answers, threshold } = BUNDLE;
  const changed = columns.map(({ name }) => ({ ...row, [name]: example[name] }));
  const scores = await score([row, ...changed]);
  const prediction = predictionOf(scores[0]);
  const isClass = BUNDLE.kind === "class";
  const wanted = classes.indexOf(BUNDLE.positive);
  const at = isClass ? (wanted < 0 ? answers.indexOf(prediction.prediction) : wanted) : 0;
  const [value, ...others] = scores.map((each) => each[at]);
  const found = columns.map((column, place) => ({
    field: column.name,
    value: row[column.name],
    reference: example[column.name],
    change: value - others[place],
  }));
  found.sort((a, b) => Math.abs(b.change) - Math.abs(a.change));
  const about = isClass ? `probability of ${classes[at]}` : BUNDLE.target;
  const decision = threshold === null ? {} : { positive: answers[wanted], threshold };
  return { ...decision, prediction, score: { about, value }, columns: found };
}
