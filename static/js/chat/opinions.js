// What a person does with an answer besides reading it: a thumb, a word to the operators, a look at its tokens.

import { post } from "../post.js";
import { notify } from "./notify.js";
import { number, text } from "./texts.js";

const feedback = document.getElementById("feedback-dialog");
const flag = document.getElementById("flag-dialog");

export class Opinions {
  #address;

  /** @param area in which the answers are; @param address of the answers, with a slash */
  constructor(area, address) {
    this.#address = address;
    area.addEventListener("click", (event) => {
      const button = event.target.closest("[data-action]");
      const reply = button?.closest("[data-reply]");
      if (!reply) return;
      if (button.dataset.action === "rate") this.#rate(button, reply);
      if (button.dataset.action === "flag") this.#flag(reply);
      if (button.dataset.action === "tokens") this.#tokens(button, reply);
    });
    area.addEventListener("focusin", (event) => showAlternatives(event.target.closest(".token")));
    area.addEventListener("mouseover", (event) => showAlternatives(event.target.closest(".token")));
  }

  async #rate(button, reply) {
    const given = button.getAttribute("aria-pressed") === "true";
    const verdict = given ? "none" : button.dataset.verdict;
    if (!(await this.#sendThumb(reply, { verdict }))) return;
    if (verdict === "none") return;
    feedback.querySelector("form").reset();
    feedback.returnValue = "";
    feedback.addEventListener("close", () => this.#sendReasons(reply, verdict), { once: true });
    feedback.showModal();
  }

  async #sendReasons(reply, verdict) {
    if (feedback.returnValue !== "send") return;
    const reasons = [...feedback.querySelectorAll(":checked")].map((box) => box.value);
    const comment = document.getElementById("feedback-comment").value;
    if (await this.#sendThumb(reply, { verdict, reasons, comment })) notify(text("thanks"));
  }

  async #sendThumb(reply, fields) {
    const answer = await post(`${this.#address}${reply.dataset.reply}/rate/`, fields);
    if (answer.error) notify(answer.error.message);
    else showThumb(reply, fields.verdict);
    return !answer.error;
  }

  #flag(reply) {
    flag.returnValue = "";
    document.getElementById("flag-reason").value = "";
    const closed = async () => {
      if (flag.returnValue !== "flag") return;
      const reason = document.getElementById("flag-reason").value;
      const answer = await post(`${this.#address}${reply.dataset.reply}/flag/`, { reason });
      notify(answer.error ? answer.error.message : text("flagged"));
    };
    flag.addEventListener("close", closed, { once: true });
    flag.showModal();
  }

  async #tokens(button, reply) {
    const box = reply.querySelector("[data-probabilities]");
    const shown = button.getAttribute("aria-expanded") === "true";
    if (!shown && !box.children.length && !(await this.#fetchTokens(box, reply))) return;
    button.setAttribute("aria-expanded", String(!shown));
    box.hidden = shown;
  }

  async #fetchTokens(box, reply) {
    const response = await fetch(`${this.#address}${reply.dataset.reply}/probabilities/`).catch(() => null);
    if (!response?.ok) {
      notify(text(response?.status === 404 ? "noTokens" : "requestFailed"));
      return false;
    }
    const content = document.createElement("template");
    content.innerHTML = await response.text();
    box.replaceChildren(content.content);
    const detail = document.createElement("div");
    detail.className = "tokens__detail";
    detail.setAttribute("aria-live", "polite");
    box.append(detail);
    return true;
  }
}

function showThumb(reply, verdict) {
  for (const button of reply.querySelectorAll("[data-action=rate]")) {
    button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
  }
}

// What else could have stood there, for the token under the pointer or the focus.
function showAlternatives(token) {
  if (!token) return;
  const list = document.createElement("ol");
  for (const [word, percent] of JSON.parse(token.dataset.alternatives)) {
    const item = document.createElement("li");
    const code = document.createElement("code");
    code.textContent = JSON.stringify(word).slice(1, -1);
    item.append(code, ` ${number(percent, 1)} %`);
    list.append(item);
  }
  const name = document.createElement("p");
  const code = document.createElement("code");
  code.textContent = JSON.stringify(token.dataset.text).slice(1, -1);
  name.append(code, ` ${token.dataset.percent}`);
  token.closest("[data-probabilities]").querySelector(".tokens__detail").replaceChildren(name, list);
}
