// Tensors as bytes: layouts of pictures, numbers of each datatype, V2's binary body. Pure: no page is needed.

export const SIZES = {BOOL: 1, UINT8: 1, INT8: 1, UINT16: 2, INT16: 2, FP16: 2, BF16: 2, UINT32: 4, INT32: 4, FP32: 4, FP64: 8, INT64: 8, UINT64: 8};
const PICTURES = ["UINT8", "INT8", "FP16", "BF16", "FP32", "FP64"];

// How a tensor would hold a picture: {layout, channels, height, width (0: any), lead}, or null.
export function pictureLayout(spec) {
  const shape = spec.shape;
  if (!PICTURES.includes(spec.datatype) || shape.length < 3 || shape.length > 4) return null;
  const lead = shape.length === 4;
  if (lead && shape[0] > 1) return null;
  const [a, b, c] = lead ? shape.slice(1) : shape;
  const counts = (n) => n === 1 || n === 3;
  const side = (n) => n === -1 || n >= 4;
  if (counts(a) && side(b) && side(c)) return {layout: "CHW", channels: a, height: Math.max(b, 0), width: Math.max(c, 0), lead};
  if (counts(c) && side(a) && side(b)) return {layout: "HWC", channels: c, height: Math.max(a, 0), width: Math.max(b, 0), lead};
  return null;
}

// Scalings of a channel's 0..255: name -> (value, channel) -> number.
const MEAN = [0.485, 0.456, 0.406], DEVIATION = [0.229, 0.224, 0.225];
export const SCALINGS = {
  raw: (v) => v,
  unit: (v) => v / 255,
  signed: (v) => v / 127.5 - 1,
  imagenet: (v, c) => (v / 255 - MEAN[c]) / DEVIATION[c],
};

// Values of a picture, in the layout's order, from RGBA pixels. `options`: {scaling, order: RGB|BGR, invert}.
export function pictureValues(pixels, width, height, layout, options) {
  const scale = SCALINGS[options.scaling], count = width * height, channels = layout.channels;
  const out = new Float64Array(count * channels);
  for (let i = 0; i < count; i++) {
    let rgb = [pixels[4 * i], pixels[4 * i + 1], pixels[4 * i + 2]];
    if (channels === 1) rgb = [0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]];
    else if (options.order === "BGR") rgb.reverse();
    for (let c = 0; c < channels; c++) {
      const value = options.invert ? 255 - rgb[c] : rgb[c];
      // the mean of a colour belongs to the colour, wherever it stands
      const colour = options.order === "BGR" ? channels - 1 - c : c;
      out[layout.layout === "CHW" ? c * count + i : i * channels + c] = scale(value, colour);
    }
  }
  return out;
}

export function picturesShape(layout, width, height) {
  const inner = layout.layout === "CHW" ? [layout.channels, height, width] : [height, width, layout.channels];
  return layout.lead ? [1, ...inner] : inner;
}

// Little-endian bytes of numbers; whole numbers are rounded and cut to their range.
export function toBytes(values, datatype) {
  const size = SIZES[datatype], out = new ArrayBuffer(values.length * size), view = new DataView(out);
  for (let i = 0; i < values.length; i++) {
    const v = values[i], at = i * size;
    if (datatype === "FP32") view.setFloat32(at, v, true);
    else if (datatype === "FP64") view.setFloat64(at, v, true);
    else if (datatype === "FP16") view.setUint16(at, half(v), true);
    else if (datatype === "BF16") view.setUint16(at, brain(v), true);
    else if (datatype === "UINT8") view.setUint8(at, Math.min(255, Math.max(0, Math.round(v))));
    else if (datatype === "INT8") view.setInt8(at, Math.min(127, Math.max(-128, Math.round(v))));
    else throw new Error(`no picture has datatype ${datatype}`);
  }
  return new Uint8Array(out);
}

// As JSON has them: short, and what the bytes would be.
export function toNumbers(values, datatype) {
  if (datatype === "UINT8") return Array.from(values, (v) => Math.min(255, Math.max(0, Math.round(v))));
  if (datatype === "INT8") return Array.from(values, (v) => Math.min(127, Math.max(-128, Math.round(v))));
  return Array.from(values, (v) => Number(Math.fround(v).toPrecision(7)));
}

const word = new Float32Array(1), bits = new Uint32Array(word.buffer);

// IEEE 754 binary16, rounded to nearest, ties to even.
export function half(value) {
  word[0] = value;
  const x = bits[0], sign = (x >>> 16) & 0x8000, exponent = (x >>> 23) & 0xff;
  let fraction = x & 0x7fffff;
  if (exponent === 0xff) return sign | 0x7c00 | (fraction ? 0x200 : 0);
  const e = exponent - 112;
  if (e >= 31) return sign | 0x7c00;
  if (e <= 0) {
    if (e < -10) return sign;
    fraction |= 0x800000;
    const shift = 14 - e;
    return sign | nearest(fraction, shift);
  }
  return (sign | nearest((e << 23) | fraction, 13)) & 0xffff;
}

function nearest(value, shift) {
  const kept = value >>> shift, rest = value & ((1 << shift) - 1), middle = 1 << (shift - 1);
  return kept + (rest > middle || (rest === middle && (kept & 1)) ? 1 : 0);
}

// bfloat16: the upper half of a float32, rounded the same way.
export function brain(value) {
  word[0] = value;
  if (Number.isNaN(value)) return 0x7fc0;
  return nearest(bits[0], 16) & 0xffff;
}

// A binary infer request as the sample comes: {tree, blobs: name -> bytes}.
export function takeApart(bytes, length) {
  const tree = JSON.parse(new TextDecoder().decode(bytes.subarray(0, length)));
  const blobs = new Map();
  let at = length;
  for (const input of tree.inputs ?? []) {
    const size = input.parameters?.binary_data_size;
    if (size === undefined) continue;
    blobs.set(input.name, bytes.slice(at, at + size));
    at += size;
  }
  return {tree, blobs};
}

// The body for a request whose text says which inputs are binary: {body, length}; length is 0 where none is.
export function putTogether(text, blobs) {
  const tree = JSON.parse(text), parts = [];
  for (const input of Array.isArray(tree.inputs) ? tree.inputs : []) {
    const size = input?.parameters?.binary_data_size;
    if (size === undefined) continue;
    const blob = blobs.get(input.name);
    if (blob === undefined) throw new Error(`input '${input.name}' says binary data, and there are none for it: drop a picture, or write "data"`);
    if (blob.length !== size) throw new Error(`input '${input.name}': binary_data_size is ${size}, and its data have ${blob.length} bytes`);
    parts.push(blob);
  }
  if (!parts.length) return {body: text, length: 0};
  const head = new TextEncoder().encode(text), out = new Uint8Array(head.length + parts.reduce((n, p) => n + p.length, 0));
  out.set(head);
  let at = head.length;
  for (const part of parts) { out.set(part, at); at += part.length; }
  return {body: out, length: head.length};
}

// JSON that people read: an object's keys one a line, lists of plain values in one line.
export function write(value, indent = "") {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const deeper = indent + "  ";
  if (Array.isArray(value)) {
    if (value.every((v) => v === null || typeof v !== "object")) return `[${value.map((v) => JSON.stringify(v)).join(", ")}]`;
    return `[\n${value.map((v) => deeper + write(v, deeper)).join(",\n")}\n${indent}]`;
  }
  const rows = Object.entries(value).map(([k, v]) => `${deeper}${JSON.stringify(k)}: ${write(v, deeper)}`);
  return rows.length ? `{\n${rows.join(",\n")}\n${indent}}` : "{}";
}

// JSON as servers write it: NaN and infinities too, which become null. undefined for what is no JSON.
export function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    try {
      return JSON.parse(text.replace(/(?<=[[,:\s])(?:NaN|-?Infinity)(?=[\],}\s])/g, "null"));
    } catch {
      return undefined;
    }
  }
}
