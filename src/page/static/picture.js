// The choice of a picture: a file, one that is dropped, or an example; and a square of it.

import {$, answer, forget, make, picture, sentence} from "./lib.js";

const EXAMPLES = ["ogre.png", "face.png", "glove.png", "chips.png", "house.png", "compass.png", "flower.jpg"];
const MOST = 2 ** 25; // bytes

export class Chooser extends EventTarget {
  constructor(root) {
    super();
    Object.assign(this, {root, file: null, crop: null, view: $(root, ".view")});
    const input = $(root, "input[type=file]");
    input.addEventListener("click", () => input.value = ""); // so that the same file, too, is a change
    input.addEventListener("change", () => this.take(input.files[0]));
    const drop = $(root, ".drop");
    for (const kind of ["dragover", "dragleave", "drop"])
      drop.addEventListener(kind, event => {
        event.preventDefault();
        drop.classList.toggle("over", kind === "dragover");
        if (kind === "drop") this.take(event.dataTransfer.files[0]);
      });
    for (const name of EXAMPLES) {
      const title = `Example: ${name.split(".")[0]}`;
      const button = make("button", {type: "button", title}, make("img", {src: `examples/${name}`, alt: title}));
      button.addEventListener("click", async () => this.take(await (await fetch(`examples/${name}`)).blob()));
      $(root, ".examples").append(button);
    }
  }

  // Shows a file, unless another has been taken meanwhile: whether it is shown.
  async take(file) {
    if (!file) return false;
    this.controller?.abort();
    const controller = this.controller = new AbortController(), size = $(this.root, ".size");
    Object.assign(this, {file: null, crop: null});
    size.classList.remove("wrong");
    try {
      if (file.size > MOST) throw new Error("A file of more than 32 MB; take a smaller one.");
      size.textContent = "Reading…";
      for await (const step of answer("open", {}, file, controller.signal)) {
        controller.signal.throwIfAborted();
        if (step.picture) this.show(file, step);
      }
    } catch (error) {
      if (controller.signal.aborted) return false;
      this.view.hidden = true;
      size.textContent = sentence(error);
      size.classList.add("wrong");
    }
    this.dispatchEvent(new Event("change"));
    return Boolean(this.file);
  }

  show(file, step) {
    const selection = $(this.view, ".selection");
    selection.hidden = true;
    forget(this.view);
    this.view.append(picture(step.picture, "Your picture"), selection);
    this.view.hidden = false;
    Object.assign(this, {file, width: step.width, height: step.height});
    $(this.root, ".size").textContent = `${step.width} x ${step.height} pixels`;
  }
}

// A square of a chooser's picture, by pointer or by numbers.
export class Crop {
  constructor(chooser, fields) {
    Object.assign(this, {chooser, fields});
    this.inputs = ["left", "top", "size"].map(name => $(fields, `[name=${name}]`));
    for (const input of this.inputs) input.addEventListener("change", () => this.typed());
    $(fields, ".centre").addEventListener("click", () => this.set(null));
    chooser.addEventListener("change", () => this.set(null, false));
    chooser.view.addEventListener("pointerdown", event => this.drag(event));
  }

  centre() {
    const {width, height} = this.chooser, side = Math.min(width, height);
    return [(width - side) >> 1, (height - side) >> 1, side];
  }

  set(square, tell = true) {
    const {chooser, fields, inputs} = this;
    fields.disabled = !chooser.file;
    chooser.crop = square && [square[0], square[1], square[2], square[2]];
    if (chooser.file) (square ?? this.centre()).forEach((value, i) => (inputs[i].value = value));
    else for (const input of inputs) input.value = "";
    const [x, y, side] = square ?? [0, 0, 0], percent = (n, of) => `${(100 * n) / of}%`;
    const selection = $(chooser.view, ".selection");
    selection.hidden = !square;
    Object.assign(selection.style, {
      left: percent(x, chooser.width), width: percent(side, chooser.width),
      top: percent(y, chooser.height), height: percent(side, chooser.height),
    });
    if (tell) chooser.dispatchEvent(new Event("crop"));
  }

  typed() {
    const {width, height} = this.chooser, [x, y, size] = this.inputs.map(input => Math.trunc(Number(input.value)) || 0);
    const left = Math.min(Math.max(x, 0), width - 1), top = Math.min(Math.max(y, 0), height - 1);
    this.set([left, top, Math.min(Math.max(size, 1), width - left, height - top)]);
  }

  drag(event) {
    const {view, width, height} = this.chooser, box = view.getBoundingClientRect();
    const place = e => [
      Math.min(Math.max(((e.clientX - box.left) / box.width) * width, 0), width),
      Math.min(Math.max(((e.clientY - box.top) / box.height) * height, 0), height),
    ];
    const from = place(event);
    event.preventDefault();
    view.setPointerCapture(event.pointerId);
    const move = (e, tell) => {
      const to = place(e), [right, down] = [to[0] > from[0], to[1] > from[1]];
      const room = Math.min(right ? width - from[0] : from[0], down ? height - from[1] : from[1]);
      const side = Math.floor(Math.min(Math.max(Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1])), room));
      if (side < 1) return;
      this.set([Math.floor(right ? from[0] : from[0] - side), Math.floor(down ? from[1] : from[1] - side), side], tell);
    };
    view.onpointermove = e => move(e, false);
    view.onpointerup = e => {
      view.onpointermove = view.onpointerup = null;
      move(e, true);
    };
  }
}
