// A picture for one input: dropped, chosen or pasted, drawn to the model's size, scaled as its user says.

import {choice, el, field, say} from "./dom.js";
import {pictureLayout, picturesShape, pictureValues, toBytes, toNumbers} from "./tensors.js";

// `give({shape, bytes} or {shape, data})` is called with each new tensor.
export function pictureBox(spec, give) {
  const layout = pictureLayout(spec);
  const options = {scaling: spec.datatype === "UINT8" ? "raw" : "unit", order: "RGB", fit: "cover", invert: false, as: "binary"};
  const size = {width: layout.width || 224, height: layout.height || 224};
  const canvas = el("canvas", {width: size.width, height: size.height, role: "img", "aria-label": "No picture yet"});
  const said = el("p", {class: "quiet"}, "Drop a picture here, paste one, or choose a file.");
  let picture = null;

  function draw() {
    if (!picture) return;
    canvas.width = size.width;
    canvas.height = size.height;
    const context = canvas.getContext("2d", {willReadFrequently: true});
    context.imageSmoothingQuality = "high";
    // what is transparent is white
    context.fillStyle = "#fff";
    context.fillRect(0, 0, size.width, size.height);
    let [x, y, w, h] = [0, 0, picture.width, picture.height];
    if (options.fit === "cover") {
      const scale = Math.min(picture.width / size.width, picture.height / size.height);
      [w, h] = [size.width * scale, size.height * scale];
      [x, y] = [(picture.width - w) / 2, (picture.height - h) / 2];
    }
    context.drawImage(picture, x, y, w, h, 0, 0, size.width, size.height);
    const pixels = context.getImageData(0, 0, size.width, size.height).data;
    const values = pictureValues(pixels, size.width, size.height, layout, options);
    const shape = picturesShape(layout, size.width, size.height);
    give(options.as === "binary" ? {shape, bytes: toBytes(values, spec.datatype)} : {shape, data: toNumbers(values, spec.datatype)});
    canvas.setAttribute("aria-label", `Picture, ${size.width} by ${size.height}`);
    said.textContent = `${picture.width} x ${picture.height} drawn to ${size.width} x ${size.height}: ${spec.datatype} [${shape.join(", ")}]`;
    say(`Picture taken: ${said.textContent}`);
  }

  async function take(file) {
    try {
      picture = await createImageBitmap(file);
    } catch {
      said.textContent = `${file.name || "That"} is not a picture that this browser can read.`;
      say(said.textContent);
      return;
    }
    draw();
  }

  const set = (name) => (event) => { options[name] = event.target.type === "checkbox" ? event.target.checked : event.target.value; draw(); };
  const number = (label, name, fixed) => field(label, el("input", {type: "number", min: 1, max: 4096, value: size[name], disabled: Boolean(fixed),
    onchange: (e) => { size[name] = Math.min(4096, Math.max(1, Number(e.target.value) || 224)); draw(); }}));
  const file = el("input", {type: "file", accept: "image/*", "aria-label": `Picture for input ${spec.name}`, onchange: (e) => e.target.files[0] && take(e.target.files[0])});
  const scalings = [["raw", "0 to 255"], ["unit", "0 to 1"], ["signed", "-1 to 1"], ...(layout.channels === 3 ? [["imagenet", "ImageNet mean"]] : [])];
  const box = el("div", {class: "drop", "data-input": spec.name,
    ondragover: (e) => { e.preventDefault(); box.classList.add("over"); },
    ondragleave: () => box.classList.remove("over"),
    ondrop: (e) => { e.preventDefault(); box.classList.remove("over"); if (e.dataTransfer.files[0]) take(e.dataTransfer.files[0]); },
  }, canvas, el("div", {class: "said"}, said, file));
  const settings = el("div", {class: "row"},
    field("Values", choice(scalings, options.scaling, set("scaling"))),
    layout.channels === 3 && field("Channels", choice([["RGB", "RGB"], ["BGR", "BGR"]], options.order, set("order"))),
    field("Fit", choice([["cover", "Crop"], ["stretch", "Stretch"]], options.fit, set("fit"))),
    field("Send as", choice([["binary", "Binary tensor"], ["json", "JSON"]], options.as, set("as"))),
    number("Width", "width", layout.width), number("Height", "height", layout.height),
    el("label", {class: "check"}, el("input", {type: "checkbox", onchange: set("invert")}), " Invert"),
  );
  const pasted = (e) => { const one = [...(e.clipboardData?.files ?? [])].find((f) => f.type.startsWith("image/")); if (one && box.isConnected) take(one); };
  document.addEventListener("paste", pasted);
  const section = el("div", {}, el("h3", {}, `Picture for ${spec.name} (${layout.layout === "CHW" ? "NCHW" : "NHWC"}, ${layout.channels === 1 ? "grey" : "colour"})`), box, settings);
  // the model is left: nothing listens for it any more
  section.leave = () => document.removeEventListener("paste", pasted);
  return section;
}
