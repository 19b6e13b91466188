// What every part of the page needs: elements, requests and their answers, a job with a Stop button.

export const $ = (root, selector) => root.querySelector(selector);
export const $$ = (root, selector) => [...root.querySelectorAll(selector)];

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export function bytes(base64) {
  return Uint8Array.from(atob(base64), c => c.charCodeAt(0));
}

const KINDS = {png: "image/png", webp: "image/webp", gif: "image/gif"};

export function blob(base64, name = ".png") {
  return new Blob([bytes(base64)], {type: KINDS[name.split(".").pop()]});
}

// A link that downloads a blob. Addresses of blobs hold memory: `forget` gives back those of a part of the page.
export function link(content, name, text) {
  return make("a", {href: URL.createObjectURL(content), download: name, className: "button", textContent: text});
}

export function forget(root) {
  for (const element of $$(root, "a[href^='blob:'], img[src^='blob:']")) URL.revokeObjectURL(element.href || element.src);
  root.replaceChildren();
}

export function picture(base64, text) {
  return make("img", {src: URL.createObjectURL(blob(base64)), alt: text});
}

// The steps of an answer; an error that the server names is thrown.
export async function* answer(kind, options, body, signal) {
  const address = `do/${kind}?options=${encodeURIComponent(JSON.stringify(options))}`;
  const response = await fetch(address, {method: "POST", body: body ?? "", signal});
  if (!response.ok) throw new Error((await response.text()).trim() || response.statusText);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const {value, done} = await reader.read();
    if (done) throw new Error("the connection broke off; try again");
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const step of lines.map(line => JSON.parse(line))) {
      if (step.error) throw new Error(step.error);
      if (step.end) return;
      yield step;
    }
  }
}

export function sentence(error) {
  const text = error instanceof TypeError ? "the page's server does not answer" : error.message;
  return text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

// Work that is done for one visitor at a time: buttons, progress, status and error of a part of the page.
export class Job {
  constructor(root, start) {
    Object.assign(this, {root, start, stop: $(root, ".stop"), bar: $(root, "progress")});
    this.stop.addEventListener("click", () => this.controller.abort());
  }

  say(text, error = "") {
    $(this.root, ".status").textContent = text;
    $(this.root, ".error").textContent = error;
  }

  // Ends what runs, without a word: what it was for is no longer shown.
  cancel() {
    this.controller?.abort();
    this.controller = null;
    this.start.disabled = !(this.stop.disabled = true);
    this.bar.value = 0;
    this.say("");
  }

  async run(kind, options, body, take) {
    this.cancel();
    const controller = this.controller = new AbortController();
    this.start.disabled = !(this.stop.disabled = false);
    this.say("Asking…");
    const notes = [];
    try {
      for await (const step of answer(kind, options, body, controller.signal)) {
        controller.signal.throwIfAborted();
        if (step.place) this.say(`Waiting in the queue: ${step.place} before you.`);
        else if (step.place === 0) this.say("Your turn. Loading…");
        else if (step.note) notes.push(sentence({message: step.note}));
        else await take(step);
      }
      this.bar.value = 1;
      this.say("Done.", notes.join(" "));
    } catch (error) {
      if (this.controller !== controller) return;
      if (error.name === "AbortError") this.say("Stopped.");
      else this.say("", sentence(error));
    }
    this.start.disabled = !(this.stop.disabled = true);
  }
}
