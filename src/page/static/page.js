// The four tabs.

import {$, $$, Job, answer, blob, forget, link, make, picture, sentence} from "./lib.js";
import {Chooser, Crop} from "./picture.js";
import {Gallery, blank} from "./gallery.js";

for (const slot of $$(document, ".slot")) {
  slot.append(document.getElementById(slot.dataset.template).content.cloneNode(true));
  if (slot.dataset.text) $(slot, ".start").textContent = slot.dataset.text;
}

// Tabs: arrow keys go from one to the next.
const tabs = $$(document, "[role=tab]");

function open(tab) {
  for (const other of tabs) {
    other.setAttribute("aria-selected", other === tab);
    other.tabIndex = other === tab ? 0 : -1;
    document.getElementById(other.getAttribute("aria-controls")).hidden = other !== tab;
  }
}

tabs.forEach((tab, i) => {
  tab.addEventListener("click", () => open(tab));
  tab.addEventListener("keydown", event => {
    const to = {ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: -1}[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = tabs.at(to % tabs.length);
    open(next);
    next.focus();
  });
});

const number = (form, name) => (form.elements[name].value === "" ? null : Number(form.elements[name].value));

function sampling(form) {
  const names = ["n_samples", "seed", "temperature", "top_k", "top_p"];
  return {model: form.elements.model.value, ...Object.fromEntries(names.map(name => [name, number(form, name)]))};
}

// Pixels on a side of what the chosen model draws.
function side(form) {
  return Number(form.elements.model.selectedOptions[0]?.dataset.n_px ?? 32);
}

// A part of the page with a form, whose Start button does its work; `anew`: also in the place of what runs.
function part(name, work, anew = false) {
  const root = document.getElementById(name), form = $(root, "form");
  const job = new Job(form, $(form, ".start"));
  form.addEventListener("submit", event => {
    event.preventDefault();
    if (anew || !job.start.disabled) work(job);
  });
  form.addEventListener("invalid", () => job.say(""), true); // the browser says what is wrong
  return {root, form, job};
}

function progress(job) {
  return step => {
    if (!step.of) return;
    job.bar.value = step.drawn / step.of;
    job.say(`${Math.floor(step.drawn / step.n_px)} of ${step.n_px} rows`);
  };
}

function grow(gallery, kind, options, file, job) {
  const tell = progress(job);
  gallery.clear();
  gallery.model = options.model;
  gallery.root.scrollIntoView({block: "nearest"});
  return job.run(kind, options, file, step => {
    gallery.take(step);
    tell(step);
  });
}

async function lookInside(model, file) {
  inside.form.elements.model.value = model;
  inside.form.elements.model.dispatchEvent(new Event("change"));
  open($(document, "#tab-inside"));
  $(document, "#tab-inside").focus();
  if (await inside.chooser.take(file)) inside.form.requestSubmit();
}

// Shows what a model sees of a chooser's picture, whenever one of them changes: the newest answer counts.
class Sight {
  constructor({root, form}, chooser, show) {
    Object.assign(this, {root, form, chooser, show});
    for (const kind of ["change", "crop"]) chooser.addEventListener(kind, () => this.update());
    form.elements.model.addEventListener("change", () => this.update());
  }

  async update() {
    this.controller?.abort();
    this.controller = new AbortController();
    const {chooser, form} = this, options = {model: form.elements.model.value, crop: chooser.crop};
    const canvas = $(this.root, "canvas.palette");
    $(form, ".error").textContent = "";
    if (!chooser.file) canvas.width = canvas.width; // empties it
    if (!chooser.file || !options.model) return this.show();
    try {
      for await (const step of answer("see", options, chooser.file, this.controller.signal)) {
        if (!step.seen) continue;
        const bitmap = await createImageBitmap(blob(step.seen));
        canvas.width = canvas.height = step.n_px;
        canvas.getContext("2d").drawImage(bitmap, 0, 0);
        this.show();
      }
    } catch (error) {
      if (error.name !== "AbortError") $(form, ".error").textContent = sentence(error);
    }
  }
}

// Complete
const complete = part("complete", job => {
  const options = {...sampling(complete.form), keep_rows: number(complete.form, "keep_rows"), crop: complete.chooser.crop};
  if (complete.chooser.file) grow(complete.gallery, "complete", options, complete.chooser.file, job);
  else job.say("", "Choose a picture first.");
});
complete.chooser = new Chooser($(complete.root, ".picture"));
complete.crop = new Crop(complete.chooser, $(complete.root, ".crop"));
complete.gallery = new Gallery($(complete.root, ".results"), lookInside);
const keep = complete.form.elements.keep_rows;

function showKept() {
  $(complete.root, ".kept").textContent = keep.value;
  const canvas = $(complete.root, ".given"), seen = $(complete.root, ".palette");
  canvas.width = canvas.height = seen.width;
  if (!complete.chooser.file) return;
  const context = canvas.getContext("2d");
  context.putImageData(blank(seen.width), 0, 0);
  const rows = Number(keep.value);
  if (rows) context.drawImage(seen, 0, 0, seen.width, rows, 0, 0, seen.width, rows);
}

// Half of a model's rows, when another one has been chosen.
function keepHalf() {
  const n_px = side(complete.form);
  if (keep.max !== String(n_px - 1)) Object.assign(keep, {max: n_px - 1, value: n_px >> 1});
  showKept();
}

complete.form.elements.model.addEventListener("change", keepHalf);
new Sight(complete, complete.chooser, showKept);
keep.addEventListener("input", showKept);

// Draw
const draw = part("draw", job => grow(draw.gallery, "draw", sampling(draw.form), null, job));
draw.gallery = new Gallery($(draw.root, ".results"), lookInside);

// Enlarge
const enlarge = part("enlarge", job => {
  const {form, chooser, root} = enlarge, scale = number(form, "scale");
  const networks = ["espcn", "srresnet", "srgan"].filter(name => form.elements[name].checked && !form.elements[name].disabled);
  if (!chooser.file) return job.say("", "Choose a picture first.");
  const prompt = form.elements.prompt.disabled ? "" : form.elements.prompt.value.trim();
  if (!networks.length && !prompt) return job.say("", "Choose a network, or write a prompt.");
  enlarge.clear();
  job.run("enlarge", {networks, scale, ...prompt && {prompt}}, chooser.file, step => {
    if (step.share) job.bar.value = step.share;
    job.say(step.title);
    if (step.file) enlarge.add(step, scale);
  });
});
enlarge.chooser = new Chooser($(enlarge.root, ".picture"));
const [before, after] = ["before", "after"].map(name => $(enlarge.root, `select[name=${name}]`));

enlarge.clear = () => {
  for (const made of enlarge.made ?? []) URL.revokeObjectURL(made);
  enlarge.made = [];
  for (const root of [before, after, $(enlarge.root, ".downloads")]) forget(root);
  $(enlarge.root, ".compare").hidden = true;
};

enlarge.add = ({title, network, file}, scale) => {
  const content = blob(file), address = URL.createObjectURL(content);
  enlarge.made.push(address);
  for (const select of [before, after]) select.append(make("option", {value: address, textContent: title}));
  $(enlarge.root, ".downloads").append(link(content, `photo_${network}_x${scale}.png`, `Download ${title}`));
  after.value = address;
  $(enlarge.root, ".compare").hidden = false;
  $(enlarge.root, ".results > .empty").hidden = true;
  compare();
};

function compare() {
  for (const select of [before, after]) $(enlarge.root, `img.${select.name}`).src = select.value;
  const divide = $(enlarge.root, "[name=divide]").value;
  $(enlarge.root, "img.before").style.clipPath = `inset(0 ${100 - divide}% 0 0)`;
}

for (const control of [before, after, $(enlarge.root, "[name=divide]")]) control.addEventListener("input", compare);
enlarge.form.elements.scale.addEventListener("change", event => {
  for (const name of ["srresnet", "srgan", "prompt"]) enlarge.form.elements[name].disabled = event.target.value !== "4";
});

// Look inside
const inside = part("inside", job => {
  const {form, chooser, root} = inside, model = form.elements.model.value;
  const position = number(form, "row") * side(form) + number(form, "column");
  if (!chooser.file) return job.say("", "Choose a picture first.");
  job.run("inside", {model, position}, chooser.file, step => {
    for (const group of $$(root, "[data-group]")) {
      forget(group);
      for (const tile of step.inside[group.dataset.group])
        group.append(make("figure", {}, picture(tile.picture, tile.caption), make("figcaption", {textContent: tile.caption})));
    }
    $(root, ".insight").hidden = false;
    $(root, ".results > .empty").hidden = true;
  });
}, true);
inside.chooser = new Chooser($(inside.root, ".picture"));
new Sight(inside, inside.chooser, () => {});
inside.form.elements.model.addEventListener("change", () => {
  const last = side(inside.form) - 1;
  for (const field of [inside.form.elements.row, inside.form.elements.column])
    Object.assign(field, {max: last, value: Math.min(field.value, last)});
});
$(inside.root, "canvas").addEventListener("click", event => {
  const box = event.target.getBoundingClientRect(), n_px = side(inside.form);
  const place = share => Math.min(Math.floor(share * n_px), n_px - 1);
  if (!inside.chooser.file) return;
  inside.form.elements.row.value = place((event.clientY - box.top) / box.height);
  inside.form.elements.column.value = place((event.clientX - box.left) / box.width);
  inside.form.requestSubmit();
});

// Models
function showModels(models) {
  for (const select of $$(document, "select[name=model]")) {
    for (const {name, n_px, n_vocab, n_layer} of models.filter(model => model.n_px)) {
      const textContent = `${name} (${n_px}x${n_px}, ${n_vocab} colours, ${n_layer} layers)`;
      select.append(make("option", {value: name, textContent}));
      select.lastChild.dataset.n_px = n_px;
    }
    const notes = models.filter(model => !model.n_px).map(({name, fault, missing}) =>
      make("li", {}, ...(fault ? [`${name}: ${fault}`] : [`${name} is not here; get it with `, make("code", {textContent: `python download.py --model ${missing}`})])));
    const slot = select.closest(".slot");
    $(slot, ".faults").append(...notes);
    $(slot, "details").hidden = !notes.length;
    select.dispatchEvent(new Event("change"));
  }
}

try {
  for await (const step of answer("models", {})) if (step.models) showModels(step.models);
} catch (error) {
  for (const place of $$(document, "form .error")) place.textContent = sentence(error);
}
