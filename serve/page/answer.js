// An answer: status, time, class labels beside their scores as bars, and what came, word for word.

import {el} from "./dom.js";
import {read, write} from "./tensors.js";
import {words} from "./api.js";

const SHOWN = 10;  // bars
const LONGEST = 20000;  // characters of a body that are shown

// `answer`: {status, took (ms), text, type}; `outputs`: the signature's.
export function showAnswer(place, answer, outputs) {
  const good = answer.status >= 200 && answer.status < 300;
  const line = el("p", {class: "answer-line", "data-status": answer.status},
    el("span", {class: good ? "good" : "bad"}, good ? `${answer.status} answered` : `${answer.status} refused`),
    ` in ${answer.took.toFixed(1)} ms`,
    el("span", {class: "quiet"}, `, ${size(answer.text.length)}`));
  const tree = read(answer.text);
  const nodes = [line];
  if (good) nodes.push(...ranked(tree, outputs));
  else if (words(answer.text)) nodes.push(el("p", {class: "bad"}, words(answer.text)));
  nodes.push(body(answer.text, tree));
  place.replaceChildren(...nodes);
}

// A list of bars for each row of each output that has labels.
export function ranked(tree, outputs) {
  const found = [];
  for (const spec of outputs) {
    if (!spec.labels?.length) continue;
    const scores = scoresOf(tree, spec);
    if (!scores) continue;
    const rows = [];
    for (let at = 0; at + spec.labels.length <= scores.length; at += spec.labels.length) rows.push(scores.slice(at, at + spec.labels.length));
    if (rows.length * spec.labels.length !== scores.length) continue;
    rows.slice(0, 4).forEach((row, i) => {
      found.push(el("h3", {}, rows.length > 1 ? `${spec.name}, row ${i + 1}` : spec.name), bars(row, spec.labels));
    });
    if (rows.length > 4) found.push(el("p", {class: "quiet"}, `and ${rows.length - 4} more rows, below`));
  }
  return found;
}

// An output's numbers, flat, from whichever face answered; null where there are none.
function scoresOf(tree, spec) {
  const listed = Array.isArray(tree?.outputs) ? tree.outputs.find((o) => o?.name === spec.name)?.data : undefined;
  const values = listed ?? tree?.[spec.name] ?? tree?.outputs?.[spec.name] ?? predicted(tree?.predictions, spec);
  const flat = Array.isArray(values) ? values.flat(Infinity) : null;
  return flat?.every((v) => typeof v === "number") ? flat : null;
}

// From a list of rows, which are an output's values, or objects that have them by name.
function predicted(rows, spec) {
  if (!Array.isArray(rows)) return undefined;
  return rows.map((row) => (row !== null && typeof row === "object" && !Array.isArray(row) ? row[spec.name] : row));
}

function bars(row, labels) {
  const order = row.map((score, i) => [score, labels[i]]).sort((a, b) => b[0] - a[0]);
  const low = Math.min(0, ...row), high = Math.max(...row);
  // shares of 1 are drawn as such, other scores between the least and the greatest
  const whole = low === 0 && high <= 1 ? 1 : high - low || 1;
  const list = el("ul", {class: "bars"});
  const add = ([score, label]) => {
    const fill = el("span", {class: "fill"});
    fill.style.width = `${Math.max(0, Math.min(100, (100 * (score - low)) / whole))}%`;
    list.append(el("li", {}, el("span", {class: "name"}, label), el("span", {class: "track", "aria-hidden": true}, fill),
      el("span", {class: "value"}, short(score))));
  };
  order.slice(0, SHOWN).forEach(add);
  if (order.length <= SHOWN) return list;
  const more = el("button", {type: "button", onclick: () => { order.slice(SHOWN, 1000).forEach(add); more.remove(); }}, `All ${order.length} classes`);
  return el("div", {}, list, more);
}

function short(score) {
  const size = Math.abs(score);
  return size !== 0 && (size < 1e-4 || size >= 1e6) ? score.toExponential(2) : score.toFixed(4);
}

function body(text, tree) {
  // laid out anew only where numbers stay what they are
  const plain = tree !== undefined && text.length < LONGEST && !/\d{16}|NaN|Infinity/.test(text) ? write(tree) : text;
  const cut = plain.length > LONGEST;
  const shown = el("pre", {tabindex: "0", "aria-label": "Answer"}, cut ? `${plain.slice(0, LONGEST)}\n...` : plain);
  if (!text) return el("p", {class: "quiet"}, "The answer has no body.");
  return cut ? el("div", {}, shown, el("p", {class: "quiet"}, `The first ${size(LONGEST)} of ${size(text.length)}.`)) : shown;
}

function size(n) {
  return n < 10000 ? `${n} bytes` : n < 1e6 ? `${(n / 1e3).toFixed(1)} kB` : `${(n / 1e6).toFixed(1)} MB`;
}
