// One answer on the page: waiting, written, finished, stopped or failed.

import { announce, clearAnnouncements } from "./announcer.js";
import { copyWithButton } from "./clipboard.js";
import { GrowingMarkdown, renderMarkdown, spoken } from "./markdown.js";
import { number, placed, text } from "./texts.js";

export class ReplyView {
  #growing = null;
  #text = "";
  #onChange;
  #siblings = [];

  /** @param element a section made from arena/partials/reply.html */
  constructor(element, onChange = () => {}) {
    this.element = element;
    this.#onChange = onChange;
    if (this.running) this.#wait();
    else this.#showStored();
    element.addEventListener("click", (event) => {
      const button = event.target.closest("[data-action]");
      if (button?.dataset.action === "copy") copyWithButton(button, this.#text);
      if (button?.dataset.action === "copy-code") {
        copyWithButton(button, button.closest(".code").querySelector("code").textContent);
      }
    });
  }

  static fromTemplate({ id, chat_model: chatModel, repeatable, probabilities, replays }, onChange) {
    const element = document.getElementById("reply-template").content.firstElementChild.cloneNode(true);
    element.dataset.reply = id;
    element.dataset.status = "queued";
    element.querySelector("[data-model]").textContent = chatModel;
    element.querySelector("[data-action=replay]").hidden = !repeatable;
    element.querySelector("[data-action=tokens]").hidden = !probabilities;
    element.querySelector("[data-replayed]").dataset.replayed = replays ?? "";
    return new ReplyView(element, onChange);
  }

  get id() {
    return this.element.dataset.reply;
  }

  get running() {
    return this.element.dataset.status === "queued";
  }

  /** One stream event, each given once and in order. `whole`: a delta replaces what is there. */
  handle(event, { whole = false } = {}) {
    if (event.type === "started") this.#started(event.attempt);
    else if (event.type === "delta") this.#heard(event, whole);
    else if (event.type === "finished") this.#finished(event);
    else if (event.type === "failed") this.fail(event.message, event.code);
  }

  /** Ends it with a sentence that says why. The text so far stays. */
  fail(message, code = "") {
    this.#end("failed", code);
    this.#part("failure-text").textContent = message;
    this.#part("failure").hidden = false;
    announce(`${text("answerFailed")} ${message}`);
    this.#onChange(this);
  }

  /** Nobody works on it yet. */
  wait({ position, loading }) {
    if (!this.running) return;
    this.#part("waiting-text").textContent = loading ? text("loading") : placed(position);
  }

  #part(name) {
    return this.element.querySelector(`[data-${name}]`);
  }

  #wait() {
    this.element.dataset.live = "";
    this.#part("waiting").hidden = false;
    this.#part("waiting-text").textContent = text("queued");
    clearAnnouncements();
  }

  #started(attempt) {
    this.#part("waiting-text").textContent = text("waiting");
    if (attempt === 1) announce(text("answerStarted"));
    this.#onChange(this);
  }

  #heard({ text: more, reasoning }, whole) {
    if (whole) this.#part("reasoning-text").textContent = "";
    if (reasoning) this.#think(reasoning);
    if (more || whole) this.#write(more, whole);
  }

  #think(more) {
    this.#part("reasoning").hidden = false;
    this.#part("reasoning-text").textContent += more;
    this.#part("waiting-text").textContent = text("thinking");
    this.#onChange(this);
  }

  #write(more, whole) {
    this.#part("waiting").hidden = true;
    this.#growing ??= new GrowingMarkdown(this.#part("answer"), (nodes) => announce(spoken(nodes)));
    this.#growing.append(more, { whole });
    // The text is drawn in the next frame; whoever scrolls must come after it.
    requestAnimationFrame(() => this.#onChange(this));
  }

  #finished(event) {
    this.#end("finished", event.reason);
    this.#showNote();
    this.#showReplayed();
    this.#showFacts({
      read: event.usage?.prompt_tokens,
      tokens: event.usage?.completion_tokens,
      first: event.timing?.first_token,
      total: event.timing?.total,
    });
    announce(text(event.reason === "cancelled" ? "answerStopped" : "answerFinished"));
    this.#onChange(this);
  }

  #end(status, outcome) {
    this.element.dataset.status = status;
    this.element.dataset.outcome = outcome;
    delete this.element.dataset.live;
    this.#part("waiting").hidden = true;
    if (this.#growing) {
      this.#growing.finish();
      this.#text = this.#growing.source;
    }
    this.#part("tools").hidden = false;
    this.element.querySelector("[data-action=copy]").hidden = !this.#text;
  }

  #showStored() {
    const answer = this.#part("answer");
    this.#text = answer.textContent;
    answer.replaceChildren(renderMarkdown(this.#text));
    answer.dataset.rendered = "";
    this.#part("tools").hidden = false;
    this.element.querySelector("[data-action=copy]").hidden = !this.#text;
    if (this.element.dataset.status === "finished") this.#showNote();
    const { read, tokens, first, total } = this.#part("facts").dataset;
    this.#showFacts({ read: Number(read), tokens: Number(tokens), first: first ? Number(first) : null, total: Number(total) });
  }

  #showNote() {
    const sentence = {
      cancelled: text("stopped"),
      length: text("length"),
      stop: this.#text.trim() ? "" : text("noText"),
    }[this.element.dataset.outcome];
    this.#part("note").textContent = sentence ?? "";
    this.#part("note").hidden = !sentence;
  }

  /** The message's answers; one of them may be what this one replays. */
  compareWith(siblings) {
    this.#siblings = siblings;
    this.#showReplayed();
  }

  get text() {
    return this.#text;
  }

  #showReplayed() {
    const note = this.#part("replayed");
    const replayed = this.#siblings.find((other) => other.id === note.dataset.replayed);
    note.hidden = !replayed || this.element.dataset.status !== "finished";
    if (!note.hidden) note.textContent = text(replayed.text === this.#text ? "replaySame" : "replayDifferent");
  }

  #showFacts({ read, tokens, first, total }) {
    const facts = [];
    if (read) facts.push(`${number(read)} ${text("tokensRead")}`);
    if (tokens) facts.push(`${number(tokens)} ${text("tokens")}`);
    if (tokens && total) facts.push(`${number(tokens / total, 1)} ${text("perSecond")}`);
    if (tokens && first != null) facts.push(`${text("firstAfter")} ${number(first, 2)} s`);
    this.#part("facts").textContent = facts.join(" · ");
  }
}
