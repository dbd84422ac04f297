// The field a person writes in. It decides when to send and keeps what is typed; what sending means, the page knows.

import { recall, remember } from "./memory.js";

const touch = matchMedia("(hover: none) and (pointer: coarse)");

export class Composer {
  #form = document.getElementById("composer");
  #text = document.getElementById("text");
  #send = document.getElementById("send");
  #stop = document.getElementById("stop");
  #problem = document.getElementById("problem");
  #editing = document.getElementById("editing");
  #key;

  /** The id of the message that is being edited, or null. */
  edited = null;

  /** @param onSend called with the text; @param onStop called when the running answer is to end */
  constructor(conversation, { onSend, onStop }) {
    this.#key = conversation;
    this.#text.value ||= recall(`draft:${conversation}`);
    if (touch.matches) this.#text.enterKeyHint = "enter";
    else this.#text.focus();

    this.#text.addEventListener("input", () => {
      remember(`draft:${this.#key}`, this.#text.value);
      this.complain("");
    });
    this.#text.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.isComposing) this.#escape();
      // 229: Safari has already ended the composition when the Enter that accepts a word arrives.
      const composing = event.isComposing || event.keyCode === 229;
      if (event.key !== "Enter" || event.shiftKey || composing || touch.matches) return;
      event.preventDefault();
      this.#form.requestSubmit();
    });
    document.addEventListener("keydown", (event) => this.#escapeElsewhere(event));
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      onSend(this.#text.value);
    });
    this.#stop.addEventListener("click", () => onStop());
    document.getElementById("cancel-editing").addEventListener("click", () => {
      this.edit(null);
      this.fill("");
    });
    // Disabled until now: without a script the browser would send the form itself, with the text in the address.
    this.#send.disabled = false;
  }

  // Once it stops what runs; with nothing to stop it leads out of the field, to where single keys work.
  #escape() {
    if (!this.#stop.hidden) this.#stop.click();
    else document.getElementById("transcript").focus();
  }

  // A click on Regenerate, or on the text, takes the focus out of the field. What has an Escape of its own keeps it.
  #escapeElsewhere(event) {
    if (event.key !== "Escape" || event.defaultPrevented || this.#stop.hidden) return;
    if (event.target.closest?.("input, select, textarea, #sidebar")) return;
    if (document.querySelector("dialog[open], [popover]:popover-open")) return;
    this.#stop.click();
  }

  get text() {
    return this.#text.value;
  }

  fill(content) {
    this.#text.value = content;
    remember(`draft:${this.#key}`, content);
    this.focus();
    this.#text.setSelectionRange(content.length, content.length);
  }

  /** What is sent next becomes another version of this message; null: a new message. */
  edit(message) {
    this.edited = message;
    this.#editing.hidden = message === null;
  }

  /** The text is on its way: its frame is kept apart until the server has it. */
  sent(frame) {
    remember(`outgoing:${this.#key}`, JSON.stringify(frame));
    remember(`draft:${this.#key}`, "");
    this.#text.value = "";
    this.complain("");
  }

  /** The server has it. `conversation`: where the next draft belongs. */
  confirmed(conversation) {
    remember(`outgoing:${this.#key}`, "");
    remember(`draft:${this.#key}`, "");
    this.#key = conversation;
    remember(`draft:${this.#key}`, this.#text.value);
  }

  /** Gives a text back, in front of what was typed since. */
  giveBack(content) {
    remember(`outgoing:${this.#key}`, "");
    this.fill([content, this.#text.value].filter(Boolean).join("\n\n"));
  }

  /** The frame that was on its way when the page went away, or null. */
  get outgoing() {
    return JSON.parse(recall(`outgoing:${this.#key}`) || "null");
  }

  /** Says beside the field what is wrong; "" takes it back. */
  complain(sentence) {
    this.#problem.querySelector("[data-text]").textContent = sentence;
    this.#problem.hidden = !sentence;
  }

  /** Takes this complaint back, if it is the one that is shown: its reason has gone. */
  withdraw(sentence) {
    if (this.#problem.querySelector("[data-text]").textContent === sentence) this.complain("");
  }

  focus() {
    this.#text.focus();
  }

  /** `running`: an answer is being written and can be stopped. */
  showRunning(running, { stopping = false, label = "" } = {}) {
    const focused = document.activeElement;
    this.#send.hidden = running;
    this.#stop.hidden = !running;
    this.#stop.setAttribute("aria-disabled", String(stopping));
    if (label) this.#stop.querySelector("[data-label]").textContent = label;
    // The focused button has gone: on a phone to its twin (the field would open the keyboard), else to the field.
    if (focused === this.#send && running) (touch.matches ? this.#stop : this.#text).focus();
    if (focused === this.#stop && !running) (touch.matches ? this.#send : this.#text).focus();
  }
}
