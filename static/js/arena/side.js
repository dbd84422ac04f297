// One side of a turn: waiting, written, ended or failed. It knows no names until it is told.

import { announce } from "../chat/announcer.js";
import { copyWithButton } from "../chat/clipboard.js";
import { GrowingMarkdown, renderMarkdown } from "../chat/markdown.js";
import { placed, text } from "../chat/texts.js";

export class Side {
  #growing = null;
  #source = "";

  /** @param element a section made from arena/partials/battle_side.html */
  constructor(element) {
    this.element = element;
    element.addEventListener("click", (event) => {
      const button = event.target.closest("[data-action]");
      if (button?.dataset.action === "copy") copyWithButton(button, this.#source);
      if (button?.dataset.action === "copy-code") {
        copyWithButton(button, button.closest(".code").querySelector("code").textContent);
      }
    });
    if (this.running) this.wait();
    else this.#showStored();
  }

  get running() {
    return this.element.dataset.status === "queued";
  }

  get finished() {
    return this.element.dataset.status === "finished";
  }

  /** How many characters are here, counted as the server counts them. */
  get length() {
    return [...this.#source].length;
  }

  /** Begins anew: a first answer, or another one to the same message. */
  wait() {
    this.#growing = null;
    this.#source = "";
    this.element.dataset.status = "queued";
    this.element.dataset.live = "";
    this.#part("answer").replaceChildren();
    delete this.#part("answer").dataset.rendered;
    this.#part("waiting").hidden = false;
    this.queued(0);
    for (const name of ["note", "failure", "tools"]) this.#part(name).hidden = true;
  }

  /** Its place in the queue, which is the same on both sides; 0 is none. */
  queued(position) {
    this.#part("waiting-text").textContent = position ? placed(position) : text("bothSides");
  }

  write(more) {
    if (!more) return;
    this.#part("waiting").hidden = true;
    // Read out once it is whole: two answers that are announced piece by piece cannot be told apart.
    this.#growing ??= new GrowingMarkdown(this.#part("answer"), () => {});
    this.#growing.append(more, { whole: false });
    this.#source += more;
  }

  end({ outcome, message }) {
    this.element.dataset.status = outcome === "failed" ? "failed" : "finished";
    this.element.dataset.outcome = outcome;
    delete this.element.dataset.live;
    this.#part("waiting").hidden = true;
    this.#growing?.finish();
    this.#part("tools").hidden = !this.#source;
    if (outcome === "failed") {
      this.#part("failure-text").textContent = message;
      this.#part("failure").hidden = false;
    }
    this.#showNote();
  }

  name(name) {
    this.#part("name").textContent = name;
  }

  /** Reads the whole answer to those who listen. */
  readOut(label) {
    announce(`${label}: ${this.#part("answer").textContent}`);
  }

  #part(name) {
    return this.element.querySelector(`[data-${name}]`);
  }

  #showStored() {
    const answer = this.#part("answer");
    this.#source = answer.textContent;
    answer.replaceChildren(renderMarkdown(this.#source));
    answer.dataset.rendered = "";
    this.#part("tools").hidden = !this.#source;
    if (this.finished) this.#showNote();
  }

  #showNote() {
    const sentence = {
      cancelled: text("stopped"),
      length: text("length"),
      stop: this.#source.trim() ? "" : text("noText"),
    }[this.element.dataset.outcome];
    this.#part("note").textContent = sentence ?? "";
    this.#part("note").hidden = !sentence;
  }
}
