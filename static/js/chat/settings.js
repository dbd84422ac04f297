// The panel with the parameters, and the model picker. Both hold from the next message on.

import { recall, remember } from "./memory.js";
import { Presets } from "./presets.js";
import { text } from "./texts.js";

const NAMES = ["system_prompt", "temperature", "top_p", "max_tokens", "seed"];

export class Settings {
  #dialog = document.getElementById("settings");
  #form = document.getElementById("settings-form");
  #picker = document.getElementById("chat-model");
  #button = document.getElementById("settings-button");
  #probabilities = document.getElementById("setting-probabilities");
  #key;

  constructor(conversation) {
    this.#key = conversation;
    this.#restore();
    this.#showModel();
    this.#showCount();
    this.#button.addEventListener("click", () => this.open());
    this.#picker.addEventListener("change", () => {
      this.#keep();
      this.#showModel();
    });
    this.#form.addEventListener("input", (event) => {
      this.#keep();
      this.#showCount();
      if (event.target.getAttribute("aria-invalid")) this.#check(event.target);
    });
    this.#form.addEventListener("change", (event) => this.#check(event.target));
    this.presets = new Presets(this);
    this.#form.addEventListener("submit", (event) => {
      if (event.submitter?.value === "done" && !this.check()) {
        event.preventDefault();
        this.#form.querySelector("[aria-invalid]").focus();
      }
    });
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
    document.getElementById("settings-reset").addEventListener("click", () => this.#reset());
  }

  get chatModel() {
    return this.#picker.value || null;
  }

  /** Picks another chat model, as the picker would. */
  set chatModel(name) {
    this.#picker.value = name;
    this.#keep();
    this.#showModel();
  }

  /** What a frame carries: null means the chat model's default. */
  get values() {
    const values = {};
    for (const name of NAMES) {
      const entry = this.#field(name).value.trim();
      if (entry === "") values[name] = null;
      else values[name] = name === "system_prompt" ? this.#field(name).value : Number(entry);
    }
    values.probabilities = this.#probabilities.checked;
    return values;
  }

  /** Whether the chat model that is picked looks at images. */
  get sees() {
    return this.#picker.selectedOptions[0]?.hasAttribute("data-sees") ?? false;
  }

  /** What the fields hold, as text. */
  get entries() {
    return Object.fromEntries(NAMES.map((name) => [name, this.#field(name).value]));
  }

  /** Puts other texts into some of the fields. */
  fill(entries) {
    for (const [name, entry] of Object.entries(entries)) {
      this.#field(name).value = entry;
      this.#check(this.#field(name));
    }
    this.#keep();
    this.#showCount();
  }

  open() {
    this.#dialog.showModal();
  }

  /** True when every field holds something that can be sent; otherwise the wrong ones say what is wrong. */
  check() {
    return NAMES.map((name) => this.#check(this.#field(name))).every(Boolean);
  }

  /** Shows the server's objection at its field. False when there is no such field. */
  complain(path, sentence) {
    const name = path?.replace("settings.", "");
    if (!NAMES.includes(name)) return false;
    this.#complain(this.#field(name), sentence);
    if (!this.#dialog.open) this.open();
    this.#field(name).focus();
    return true;
  }

  /** The server has stored them with `conversation`. */
  stored(conversation) {
    remember(`settings:${this.#key}`, "");
    this.#key = conversation;
  }

  #field(name) {
    return this.#form.elements.namedItem(name);
  }

  #check(field) {
    if (!NAMES.includes(field.name)) return true;
    const sentence = problemOf(field);
    this.#complain(field, sentence);
    return !sentence;
  }

  #complain(field, sentence) {
    const error = document.getElementById(`error-${field.name}`);
    error.textContent = sentence;
    error.hidden = !sentence;
    if (sentence) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
  }

  #reset() {
    for (const name of NAMES) {
      this.#field(name).value = "";
      this.#complain(this.#field(name), "");
    }
    this.#probabilities.checked = false;
    this.#keep();
    this.#showCount();
  }

  #keep() {
    const kept = { ...this.entries, chat_model: this.#picker.value, probabilities: this.#probabilities.checked };
    remember(`settings:${this.#key}`, JSON.stringify(kept));
  }

  #restore() {
    const kept = recall(`settings:${this.#key}`);
    if (!kept) return;
    const { chat_model: chatModel, probabilities, ...values } = JSON.parse(kept);
    this.#probabilities.checked = Boolean(probabilities);
    for (const name of NAMES) this.#field(name).value = values[name] ?? "";
    const known = [...this.#picker.options].some((option) => option.value === chatModel);
    if (known) this.#picker.value = chatModel;
  }

  #showModel() {
    const model = this.#picker.selectedOptions[0];
    document.getElementById("model-offline").hidden = !model?.hasAttribute("data-offline");
    for (const field of this.#form.querySelectorAll("[data-default]")) {
      const value = model?.dataset[field.dataset.default];
      field.placeholder = value ? `${text("default")} (${value})` : text("default");
    }
    document.getElementById("probabilities-field").hidden = !model?.hasAttribute("data-tells-probabilities");
    const description = document.querySelector("[data-model-description]");
    if (description) description.textContent = model?.dataset.description ?? "";
  }

  #showCount() {
    const badge = document.getElementById("settings-count");
    const count = Object.values(this.values).filter((value) => value !== null && value !== false).length;
    badge.querySelector("[data-count]").textContent = String(count);
    badge.hidden = count === 0;
  }
}

function problemOf(field) {
  const { validity } = field;
  if (validity.badInput) return text("number");
  if (validity.rangeUnderflow) return `${text("atLeast")} ${field.min}.`;
  if (validity.rangeOverflow) return `${text("atMost")} ${field.max}.`;
  if (validity.stepMismatch) return text("wholeNumber");
  return "";
}
