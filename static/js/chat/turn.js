// A message with its answers, of which one is shown.

import { drawFile } from "../files.js";
import { ReplyView } from "./reply.js";
import { text } from "./texts.js";

const LONG_QUESTION = 240; // characters; the template uses the same number
const FOLDED_QUESTION = 1500; // characters
const FOLDED_LINES = 14;

function element(turn, selector) {
  return turn.element.querySelector(selector);
}

/** Tells whether two readings of a turn show the same: its message, versions and answers. */
export function signatureOf(element) {
  const answers = [...element.querySelectorAll("[data-reply]")].map((reply) => reply.dataset.reply);
  return [element.dataset.message, element.dataset.versionTotal, ...answers].join(" ");
}

export class TurnView {
  #onChange;
  #shown = 0;

  constructor(element, onChange) {
    this.element = element;
    this.#onChange = onChange;
    this.replies = [...element.querySelectorAll("[data-reply]")].map((reply) => new ReplyView(reply, onChange));
    this.show(this.replies.length - 1);
    for (const reply of this.replies) reply.compareWith(this.replies);
    this.#fold();
    element.addEventListener("click", (event) => {
      const action = event.target.closest("[data-action]")?.dataset.action;
      if (action === "previous") this.#turnOver(-1);
      if (action === "next") this.#turnOver(1);
      if (action === "unfold") this.#unfold();
    });
  }

  // A pasted page must not push the answer out of sight.
  #fold() {
    const long = this.question.length > FOLDED_QUESTION || this.question.split("\n").length > FOLDED_LINES;
    element(this, "[data-question]").toggleAttribute("data-folded", long);
    element(this, "[data-action=unfold]").hidden = !long;
  }

  #unfold() {
    const folded = element(this, "[data-question]").toggleAttribute("data-folded");
    const button = element(this, "[data-action=unfold]");
    button.setAttribute("aria-expanded", String(!folded));
    button.textContent = text(folded ? "showAll" : "showLess");
  }

  /** A turn whose message is on its way. */
  static pending(question, files, onChange) {
    const element = document.getElementById("turn-template").content.firstElementChild.cloneNode(true);
    const paragraph = element.querySelector("[data-question]");
    paragraph.textContent = question;
    paragraph.toggleAttribute("data-long", question.length > LONG_QUESTION);
    element.dataset.pending = "";
    const list = element.querySelector("[data-files]");
    list.append(...files.map(drawFile));
    list.hidden = files.length === 0;
    element.querySelector("[data-sending]").hidden = false;
    return new TurnView(element, onChange);
  }

  get message() {
    return Number(this.element.dataset.message);
  }

  get question() {
    return this.element.querySelector("[data-question]").textContent;
  }

  get signature() {
    return signatureOf(this.element);
  }

  accepted(message) {
    this.element.dataset.message = message.id;
    this.element.dataset.versionTotal = "1";
    delete this.element.dataset.pending;
    this.element.querySelector("[data-sending]").hidden = true;
  }

  addReply(reply) {
    const view = ReplyView.fromTemplate(reply, this.#onChange);
    this.replies.push(view);
    this.element.querySelector("[data-replies]").append(view.element);
    this.show(this.replies.length - 1);
    view.compareWith(this.replies);
    return view;
  }

  show(index) {
    this.#shown = index;
    this.replies.forEach((reply, i) => {
      reply.element.hidden = i !== index;
      if (i !== index) return;
      const several = this.replies.length > 1;
      reply.element.querySelector("[data-versions]").hidden = !several;
      reply.element.querySelector("[data-version-count]").textContent =
        `${index + 1} ${text("versionOf")} ${this.replies.length}`;
      reply.element.querySelector("[data-older]").hidden = index === this.replies.length - 1;
      this.#enable(reply, "previous", index > 0);
      this.#enable(reply, "next", index < this.replies.length - 1);
    });
  }

  // aria-disabled and not disabled: a button that goes out of use under the finger keeps the focus.
  #enable(reply, action, enabled) {
    reply.element.querySelector(`[data-action=${action}]`).setAttribute("aria-disabled", String(!enabled));
  }

  #turnOver(step) {
    const index = this.#shown + step;
    if (index < 0 || index >= this.replies.length) return;
    this.show(index);
    const action = step < 0 ? "previous" : "next";
    this.replies[index].element.querySelector(`[data-action=${action}]`).focus();
  }
}
