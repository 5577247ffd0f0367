// The try-it: a request that people can write, sent as it stands; its answer; and the same for other programs.

import {hasKey, look, send} from "./api.js";
import {choice, el, field, say} from "./dom.js";
import {showAnswer} from "./answer.js";
import {pictureBox} from "./picture.js";
import {curl, python} from "./snippets.js";
import {pictureLayout, putTogether, read, takeApart, write} from "./tensors.js";

const LONGEST = 200000;  // characters that an editor is given

// What of the OpenAPI document asks this model: [{path, what, tag, type, example}].
export function waysToAsk(document, name) {
  const found = [];
  for (const [path, methods] of Object.entries(document.paths)) {
    const one = methods.post;
    if (!one?.["x-gantline-asks"]) continue;
    const [type, content] = Object.entries(one.requestBody.content)[0];
    const stream = "text/event-stream" in (one.responses["200"].content ?? {});
    found.push({path, what: one.summary, tag: one.tags[0], type, stream, example: content.example});
  }
  return found;
}

export function askSection(model, ways, leave) {
  // a script is asked as a script
  const first = Math.max(0, ways.findIndex((w) => w.tag === "Azure"));
  let way = ways[first];
  let blobs = new Map();
  const editor = el("textarea", {id: "request", spellcheck: "false", autocapitalize: "off", autocomplete: "off", rows: 12, "aria-describedby": "request-note", oninput: () => refresh()});
  const note = el("p", {class: "quiet", id: "request-note"});
  const button = el("button", {type: "button", class: "primary", id: "send", onclick: () => ask()}, "Send");
  const answer = el("div", {id: "answer"});
  const pictures = el("div", {id: "pictures"});
  const snippets = snippetBox(() => request());

  function write_(text) {
    editor.value = text;
    editor.rows = Math.min(24, Math.max(6, text.split("\n").length + 1));
    refresh();
  }

  // the example of a face; a sample that is too large to be read goes as bytes
  async function fill() {
    blobs = new Map();
    pictures.replaceChildren();
    const infer = way.tag === "V2";
    const drawn = infer ? model.inputs.filter((t) => pictureLayout(t)) : [];
    for (const spec of drawn) {
      const box = pictureBox(spec, (tensor) => put(spec, tensor));
      leave.push(box.leave);
      pictures.append(box);
    }
    const of = model.recorded ? "its golden sample, first row" : "zeros: the package has no golden sample";
    if (way.example !== undefined) {
      note.textContent = `Filled in from ${way.tag === "Azure" ? "the script's own example" : of}.`;
      write_(typeof way.example === "string" && way.type !== "application/json" ? way.example : write(way.example));
      return;
    }
    note.textContent = "This way of asking has no example here: write the body.";
    write_("{}");
    if (infer) await fillBinary(of);
  }

  async function fillBinary(of) {
    const mine = way;
    try {
      const got = await send(`/docs/models/${encodeURIComponent(model.name)}/sample?version=${model.version}`);
      if (!got.ok || way !== mine) return;
      const parts = takeApart(new Uint8Array(await got.arrayBuffer()), Number(got.headers.get("inference-header-content-length")));
      if (way !== mine) return;
      blobs = parts.blobs;
      note.textContent = `Filled in from ${of}, which is sent as bytes after this JSON.`;
      write_(write(parts.tree));
    } catch (error) {
      note.textContent = `The sample could not be had: ${error.message}`;
    }
  }

  // a picture's tensor takes the place of what the input had
  function put(spec, tensor) {
    let tree = read(editor.value);
    if (tree === undefined || tree === null || typeof tree !== "object" || !Array.isArray(tree.inputs)) tree = {inputs: []};
    let input = tree.inputs.find((i) => i?.name === spec.name);
    if (!input) tree.inputs.push(input = {name: spec.name});
    input.datatype = spec.datatype;
    input.shape = tensor.shape;
    if (tensor.bytes) {
      blobs.set(spec.name, tensor.bytes);
      delete input.data;
      input.parameters = {...input.parameters, binary_data_size: tensor.bytes.length};
    } else {
      blobs.delete(spec.name);
      if (input.parameters) delete input.parameters.binary_data_size;
      if (input.parameters && !Object.keys(input.parameters).length) delete input.parameters;
      input.data = tensor.data;
    }
    const text = write(tree);
    note.textContent = tensor.bytes ? "The picture is sent as bytes after this JSON." : "The picture is in this JSON.";
    write_(text.length > LONGEST ? JSON.stringify(tree) : text);
  }

  function request() {
    const made = way.tag === "V2" ? putTogether(editor.value, blobs) : {body: editor.value, length: 0};
    const headers = {"content-type": made.length ? "application/octet-stream" : way.type};
    if (made.length) headers["inference-header-content-length"] = String(made.length);
    return {url: location.origin + way.path, path: way.path, headers, body: made.body, text: editor.value, binary: made.length > 0, key: hasKey()};
  }

  function refresh() {
    snippets.refresh();
  }

  async function ask() {
    let made;
    try {
      made = request();
    } catch (error) {
      answer.replaceChildren(el("p", {class: "bad", role: "alert"}, `Not sent: ${error.message}`));
      return;
    }
    button.disabled = true;
    button.textContent = "Sending";
    const began = performance.now();
    try {
      const got = await send(made.path, {method: "POST", headers: made.headers, body: made.body});
      const text = await got.text();
      showAnswer(answer, {status: got.status, took: performance.now() - began, text}, model.outputs);
      say(answer.querySelector(".answer-line").textContent);
    } catch (error) {
      answer.replaceChildren(el("p", {class: "bad", role: "alert"}, `No answer: ${error.message}`));
    } finally {
      button.disabled = false;
      button.textContent = "Send";
    }
  }

  editor.addEventListener("keydown", (e) => {
    if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) { e.preventDefault(); ask(); }
  });
  const section = el("section", {"aria-labelledby": "ask-title"}, el("h2", {id: "ask-title"}, "Try it"));
  if (!ways.length) {
    section.append(el("p", {class: "quiet"}, model.state === "READY" ? "Nothing on this server asks this model over HTTP." : "It is not loaded."));
    return section;
  }
  const named = ways.map((w, i) => [String(i), `${w.tag}: ${w.path}`]);
  section.append(
    el("div", {class: "row"}, field("Ask by", choice(named, String(first), (e) => { way = ways[Number(e.target.value)]; answer.replaceChildren(); fill(); }))),
    pictures,
    el("label", {for: "request"}, "Request"), editor, note,
    el("div", {class: "row"}, button, el("span", {class: "quiet"}, "or Ctrl+Enter in the editor")),
    answer, snippets.node,
  );
  fill();
  return section;
}

// curl and Python, in two tabs.
function snippetBox(request) {
  const kinds = [["curl", curl], ["Python", python]];
  let chosen = 0;
  const text = el("pre", {id: "snippet", role: "tabpanel", tabindex: "0", "aria-labelledby": "tab-0"});
  const saved = el("a", {download: "request.bin", hidden: true}, "Save request.bin");
  const copy = el("button", {type: "button", onclick: async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
      say("Copied");
      copy.textContent = "Copied";
      setTimeout(() => { copy.textContent = "Copy"; }, 1500);
    } catch {
      getSelection().selectAllChildren(text);
    }
  }}, "Copy");
  const tabs = kinds.map(([name], i) => el("button", {type: "button", role: "tab", id: `tab-${i}`, "aria-controls": "snippet", onclick: () => pick(i),
    onkeydown: (e) => { if (e.key === "ArrowRight" || e.key === "ArrowLeft") { pick(1 - i); tabs[1 - i].focus(); } }}, name));
  let blob = "";

  function pick(i) {
    chosen = i;
    refresh();
  }
  function refresh() {
    tabs.forEach((tab, i) => { tab.setAttribute("aria-selected", String(i === chosen)); tab.tabIndex = i === chosen ? 0 : -1; });
    text.setAttribute("aria-labelledby", `tab-${chosen}`);
    let made = null;
    try {
      made = request();
      text.textContent = made.text.length > LONGEST && !made.binary ? "This request is too long to be shown: send the picture as a binary tensor." : kinds[chosen][1](made);
    } catch (error) {
      text.textContent = `# the request cannot be sent as it stands: ${error.message}`;
    }
    if (blob) URL.revokeObjectURL(blob);
    blob = made?.binary ? URL.createObjectURL(new Blob([made.body], {type: "application/octet-stream"})) : "";
    saved.hidden = !blob;
    if (blob) saved.href = blob;
  }
  const node = el("div", {}, el("h3", {id: "elsewhere"}, "The same from elsewhere"),
    el("div", {role: "tablist", "aria-labelledby": "elsewhere"}, ...tabs), el("div", {class: "snippet"}, text, copy), el("p", {}, saved));
  return {node, refresh};
}

export async function documentOf(name) {
  return look(`/openapi.json?model=${encodeURIComponent(name)}`);
}
