// Elements: `el("p", {class: "quiet"}, "text", child)`. Text is always text: nothing that a server says is HTML.

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

export function field(label, control) {
  return el("label", {class: "field"}, label, control);
}

export function choice(options, chosen, onchange) {
  const made = options.map(([value, text]) => el("option", {value, selected: value === chosen}, text));
  return el("select", {onchange}, ...made);
}

// Tell a screen reader what has happened.
export function say(text) {
  document.getElementById("status").textContent = text;
}
