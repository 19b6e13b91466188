// Images that grow row by row, and what can be done with them when they are finished.

import {$, Job, blob, bytes, forget, link, make, picture} from "./lib.js";

const UNKNOWN = [160, 176, 200];

// An ImageData of n_px by n_px pixels of which nothing is known.
export function blank(n_px) {
  const image = new ImageData(n_px, n_px);
  for (let i = 0; i < image.data.length; i += 4) image.data.set([...UNKNOWN, 255], i);
  return image;
}

export class Gallery {
  constructor(root, look) {
    Object.assign(this, {root, look, images: [], files: null});
    this.job = new Job($(root, ".chosen"), $(root, ".larger"));
    $(root, ".larger").addEventListener("click", () => this.enlarge());
    $(root, ".look").addEventListener("click", () => this.look(this.model, this.file()));
  }

  // One step of a drawing.
  take(step) {
    if (step.files) return this.finish(step.files);
    if (!step.colours && step.colours !== "") return;
    if (step.n !== this.images.length || step.drawn <= this.drawn) this.begin(step);
    const colours = bytes(step.colours), fresh = step.drawn - this.drawn;
    this.images.forEach(({context, image}, k) => {
      for (let i = 0; i < fresh; i++) {
        const from = 3 * (k * fresh + i);
        image.data.set(colours.subarray(from, from + 3), 4 * (this.drawn + i));
      }
      context.putImageData(image, 0, 0);
    });
    this.drawn = step.drawn;
  }

  clear() {
    this.job.cancel();
    Object.assign(this, {images: [], drawn: Infinity, files: null});
    $(this.root, ".empty").hidden = true;
    $(this.root, ".chosen").hidden = true;
    for (const part of [".grid", ".downloads", ".tiles"]) forget($(this.root, part));
  }

  begin({n, n_px}) {
    this.clear();
    this.drawn = 0;
    $(this.root, ".grid").classList.toggle("few", n <= 4);
    for (let k = 0; k < n; k++) {
      const canvas = make("canvas", {width: n_px, height: n_px}), name = `Image ${k}`;
      const button = make("button", {type: "button", disabled: true, title: name}, canvas);
      button.setAttribute("aria-label", name);
      button.addEventListener("click", () => this.choose(k));
      this.images.push({button, context: canvas.getContext("2d"), image: blank(n_px)});
      $(this.root, ".grid").append(button);
    }
  }

  finish(files) {
    this.files = Object.entries(files).map(([name, content]) => [name, blob(content, name)]);
    for (const {button} of this.images) button.disabled = false;
    const [sheet, moving] = this.files.slice(-2);
    $(this.root, ".downloads").append(
      link(sheet[1], sheet[0], "Download the sheet"), link(moving[1], moving[0], "Download the animation"),
    );
    this.choose(0);
  }

  file() {
    return this.files[this.chosen][1];
  }

  choose(k) {
    this.chosen = k;
    this.images.forEach(({button}, i) => button.setAttribute("aria-pressed", i === k));
    const root = $(this.root, ".chosen"), old = $(root, ".save"), [name, content] = this.files[k];
    const save = link(content, name, "Download PNG");
    save.classList.add("save");
    URL.revokeObjectURL(old.href);
    old.replaceWith(save);
    $(root, "h2").textContent = `Image ${k}`;
    forget($(root, ".tiles"));
    this.job.cancel();
    root.hidden = false;
  }

  enlarge() {
    const tiles = $(this.root, ".chosen .tiles"), name = this.files[this.chosen][0].replace(".png", "");
    forget(tiles);
    const small = make("img", {src: URL.createObjectURL(this.file()), alt: "As drawn", className: "pixels"});
    tiles.append(make("figure", {}, small, make("figcaption", {textContent: "as drawn"})));
    this.job.run("enlarge", {networks: ["espcn", "srgan"], scale: 4}, this.file(), step => {
      if (step.share) this.job.bar.value = step.share;
      this.job.say(step.title);
      if (!step.file) return;
      const save = link(blob(step.file), `${name}_${step.network}_x4.png`, `Download ${step.title}`);
      const caption = make("figcaption", {textContent: step.title});
      tiles.append(make("figure", {}, picture(step.file, `Enlarged by ${step.title}`), caption, save));
    });
  }
}
