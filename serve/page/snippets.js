// The same request for other programs: curl, and Python without anything to install. Pure.

const QUOTED = /'/g;
const shell = (text) => `'${text.replace(QUOTED, "'\\''")}'`;

// `request`: {url, method, headers, text, binary: whether the body is in request.bin, key: whether one is sent}
export function curl(request) {
  const lines = [`curl -s ${shell(request.url)}`];
  if (request.key) lines.push(`-H "x-api-key: $GANTLINE_KEY"`);
  for (const [name, value] of Object.entries(request.headers)) lines.push(`-H ${shell(`${name}: ${value}`)}`);
  lines.push(request.binary ? "--data-binary @request.bin" : `--data-binary ${shell(request.text)}`);
  return lines.join(" \\\n  ");
}

export function python(request) {
  const headers = Object.entries(request.headers).map(([name, value]) => `    ${quoted(name)}: ${quoted(value)},`);
  if (request.key) headers.push(`    "x-api-key": os.environ["GANTLINE_KEY"],`);
  const body = request.binary ? `pathlib.Path("request.bin").read_bytes()` : `${literal(request.text)}.encode()`;
  const imports = ["import urllib.request"];
  if (request.binary) imports.unshift("import pathlib");
  if (request.key) imports.unshift("import os");
  return [
    ...imports, "",
    `body = ${body}`,
    `request = urllib.request.Request(${quoted(request.url)}, data=body, headers={`,
    ...headers,
    "})",
    "with urllib.request.urlopen(request) as answer:",
    "    print(answer.read().decode())",
  ].join("\n");
}

// JSON's strings are Python's, too, once nothing outside of ASCII is left in them.
function quoted(text) {
  return JSON.stringify(text).replace(/[\u007f-\u{10ffff}]/gu, (c) => {
    const code = c.codePointAt(0).toString(16);
    return code.length > 4 ? "\\U" + code.padStart(8, "0") : "\\u" + code.padStart(4, "0");
  });
}

// A raw text in three quotes where that is the same, else quoted.
function literal(text) {
  return /'''|\\|\r|\0|'$/.test(text) ? quoted(text) : `'''${text}'''`;
}
