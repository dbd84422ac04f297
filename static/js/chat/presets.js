// Named settings: picked, saved and deleted in the settings panel. What the fields hold, the panel knows.

import { post } from "../post.js";
import { notify } from "./notify.js";
import { text } from "./texts.js";

const FIELDS = ["system_prompt", "temperature", "top_p", "max_tokens"];

export class Presets {
  #list = document.getElementById("preset");
  #name = document.getElementById("preset-name");
  #default = document.getElementById("preset-default");
  #delete = document.getElementById("preset-delete");
  #problem = document.getElementById("preset-problem");
  #settings;

  /** @param settings has `entries` (field → what it holds) and `fill(entries)` */
  constructor(settings) {
    this.#settings = settings;
    this.#list.addEventListener("change", () => this.#picked());
    this.#delete.addEventListener("click", () => this.#remove());
    document.getElementById("preset-save").addEventListener("click", () => this.#save());
    this.#name.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault(); // it would close the panel
      this.#save();
    });
  }

  #picked() {
    const preset = this.#list.selectedOptions[0];
    this.#delete.hidden = !preset.value;
    if (!preset.value) return;
    this.#settings.fill(Object.fromEntries(FIELDS.map((name) => [name, preset.getAttribute(`data-${name}`) ?? ""])));
    this.#name.value = preset.textContent;
    this.#default.checked = preset.hasAttribute("data-default-preset");
  }

  async #save() {
    const entries = this.#settings.entries;
    const fields = Object.fromEntries(FIELDS.map((name) => [name, entries[name]]));
    const answer = await post(this.#list.dataset.save, {
      ...fields,
      name: this.#name.value,
      default: String(this.#default.checked),
    });
    this.#problem.textContent = answer.error?.message ?? "";
    this.#problem.hidden = !answer.error;
    if (answer.error) return;
    this.#keep(answer);
    notify(text("presetSaved"));
  }

  #keep(saved) {
    const known = [...this.#list.options].find((option) => option.value === String(saved.id));
    const option = known ?? this.#list.appendChild(document.createElement("option"));
    if (saved.default) for (const other of this.#list.options) other.removeAttribute("data-default-preset");
    option.value = saved.id;
    option.textContent = saved.name;
    for (const name of FIELDS) option.setAttribute(`data-${name}`, saved[name] ?? "");
    option.toggleAttribute("data-default-preset", saved.default);
    this.#list.value = String(saved.id);
    this.#delete.hidden = false;
  }

  async #remove() {
    const preset = this.#list.selectedOptions[0];
    const answer = await post(`${this.#list.dataset.save}${preset.value}/delete/`);
    if (answer.error && answer.error.code !== "not_found") return notify(answer.error.message);
    preset.remove();
    this.#list.value = "";
    this.#delete.hidden = true;
    this.#list.focus();
    notify(text("presetDeleted"));
  }
}
