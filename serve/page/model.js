// One model: what it takes and gives, where it came from, and the try-it.

import {look} from "./api.js";
import {el} from "./dom.js";
import {askSection, documentOf, waysToAsk} from "./ask.js";

let leave = [];

// `wanted()`: whether this model is still the one that was chosen last.
export async function showModel(place, name, version, wanted) {
  const [model, document] = await Promise.all([
    look(`/docs/models/${encodeURIComponent(name)}${version ? `?version=${encodeURIComponent(version)}` : ""}`),
    documentOf(name).catch(() => ({paths: {}})),
  ]);
  if (!wanted()) return;
  leave.splice(0).forEach((go) => go());
  place.replaceChildren(about(model), askSection(model, waysOf(document, model), leave), signature(model), made(model));
  place.focus({preventScroll: true});
}

// those of other versions are left out: a path without one is the answering version's
function waysOf(document, model) {
  const mark = /\/versions\/(\d+)\//;
  const ways = waysToAsk(document, model.name);
  const own = ways.filter((w) => mark.exec(w.path)?.[1] === model.version);
  return own.length ? own : ways.filter((w) => !mark.test(w.path));
}

function about(model) {
  const ready = model.state === "READY";
  const others = model.versions.filter((v) => v !== model.version);
  return el("section", {"aria-label": "About"},
    el("h1", {}, model.name),
    el("p", {}, el("span", {class: `state ${ready ? "good" : "bad"}`}, model.state), ` version ${model.version}`,
      model.reason && el("span", {class: "quiet"}, `: ${model.reason}`)),
    others.length > 0 && el("p", {}, "Other versions: ", ...others.flatMap((v, i) => [i ? ", " : "", el("a", {href: `#${encodeURIComponent(model.name)}/${v}`}, v)])));
}

function signature(model) {
  const section = el("section", {"aria-labelledby": "signature-title"}, el("h2", {id: "signature-title"}, "Signature"));
  if (!model.inputs.length && !model.outputs.length) {
    section.append(el("p", {class: "quiet"}, "None: a script takes what it takes, or the model has not been loaded yet."));
    return section;
  }
  for (const [title, tensors] of [["Inputs", model.inputs], ["Outputs", model.outputs]]) {
    const noted = tensors.some((t) => t.optional || t.labels?.length);
    const rows = tensors.map((t) => el("tr", {},
      el("th", {scope: "row", class: "mono"}, t.name), el("td", {}, t.datatype), el("td", {class: "mono"}, shape(t.shape)),
      noted && el("td", {}, t.optional ? "may be left out" : labels(t.labels))));
    section.append(el("div", {class: "scroll"}, el("table", {}, el("caption", {}, title),
      el("thead", {}, el("tr", {}, ...["Name", "Datatype", "Shape", ...(noted ? [title === "Inputs" ? "Note" : "Labels"] : [])].map((h) => el("th", {scope: "col"}, h)))),
      el("tbody", {}, ...rows))));
  }
  return section;
}

function shape(sizes) {
  return `[${sizes.map((n) => (n < 0 ? "any" : n)).join(", ")}]`;
}

function labels(names) {
  if (!names?.length) return "";
  if (names.length <= 6) return names.join(", ");
  return el("details", {}, el("summary", {}, `${names.length} labels: ${names.slice(0, 3).join(", ")}, ...`), names.slice(0, 2000).join(", "));
}

function made(model) {
  const rows = [];
  const add = (name, ...value) => value.some((v) => v !== undefined && v !== "" && v !== null) && rows.push(el("dt", {}, name), el("dd", {}, ...value));
  add("Digest", model.digest && el("code", {}, model.digest));
  add("Engine", model.engine);
  add("Why not ONNX", model.engine_reason);
  add("Source", model.source && `${model.source.framework} ${model.source.type}`.trim());
  if (model.parity) {
    const p = model.parity;
    add("Parity", p.rows ? `on ${p.rows} ${p.sample} rows: max relative error ${p.max_rel_error.toPrecision(3)}, ${p.label_flips} label flips` : "not compared");
    add("Loosened", p.loosened.join("; "));
  }
  add("Stacked", model.max_rows && `up to ${model.max_rows} rows at once`);
  for (const [name, value] of Object.entries(model.lineage ?? {})) {
    if (name !== "package" && typeof value !== "object") add(`Lineage: ${name.replaceAll("_", " ")}`, String(value));
  }
  for (const line of model.notes ?? []) add("Note", line);
  return el("section", {"aria-labelledby": "made-title"}, el("h2", {id: "made-title"}, "Package"),
    rows.length ? el("dl", {}, ...rows) : el("p", {class: "quiet"}, "A model file without a package."));
}
