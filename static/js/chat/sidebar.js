// The lines of the conversation list: which one is open, renaming in place, deleting after a question.

import { announce } from "./announcer.js";
import { notify } from "./notify.js";
import { text } from "./texts.js";

// A refused title is answered with a sentence as plain text.
function refusal(xhr) {
  const plain = xhr?.status === 422 && xhr.getResponseHeader("Content-Type")?.startsWith("text/plain");
  return plain ? xhr.responseText : text("requestFailed");
}

export class Sidebar {
  #list = document.getElementById("conversations");
  #dialog = document.getElementById("delete-dialog");
  #folders = document.getElementById("folder-dialog");
  #openField = document.getElementById("open-conversation");
  #address;
  #neighbour = null;

  constructor(address) {
    this.#address = address;
    this.#mark();
    this.#list.addEventListener("click", (event) => this.#clicked(event));
    this.#list.addEventListener("keydown", (event) => {
      const item = event.target.closest(".item");
      if (event.key === "Escape" && item && !item.querySelector(".item__form").hidden) {
        event.preventDefault();
        this.#rename(item, false);
      }
    });
    document.body.addEventListener("htmx:confirm", (event) => this.#ask(event));
    document.body.addEventListener("htmx:beforeSwap", (event) => this.#leaving(event));
    document.body.addEventListener("htmx:afterSwap", () => this.#mark());
    document.body.addEventListener("htmx:afterRequest", (event) => this.#requested(event));
    for (const failure of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
      document.body.addEventListener(failure, ({ detail }) => this.#failed(detail));
    }
  }

  /** Asks the server for the list, unless a title is being edited in it. */
  refresh() {
    if (this.#list.querySelector(".item__form:not([hidden])")) return;
    const query = document.getElementById("search").value;
    const address = query ? `${this.#address}?q=${encodeURIComponent(query)}` : this.#address;
    window.htmx?.ajax("GET", address, { target: this.#list, swap: "innerHTML" });
  }

  set open(conversation) {
    this.#openField.value = conversation;
    this.#mark();
  }

  retitle(conversation, title) {
    const label = this.#item(conversation)?.querySelector("[data-title]");
    if (label) label.textContent = title || text("untitled");
  }

  #item(conversation) {
    return this.#list.querySelector(`[data-item="${CSS.escape(conversation)}"]`);
  }

  #mark() {
    for (const item of this.#list.querySelectorAll(".item")) {
      const link = item.querySelector(".item__link");
      if (item.dataset.item === this.#openField.value) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
      link.title = link.textContent.trim();
    }
  }

  #clicked(event) {
    const action = event.target.closest("[data-action]")?.dataset.action;
    const item = event.target.closest(".item");
    if (action === "rename") this.#rename(item, true);
    if (action === "cancel-rename") this.#rename(item, false);
    if (action === "folder") this.#move(item, event.target.closest("[data-folder]").dataset.folder);
  }

  #move(item, folder) {
    const name = document.getElementById("folder-name");
    name.value = folder;
    this.#folders.returnValue = "";
    const closed = () => {
      if (this.#folders.returnValue !== "move") return;
      window.htmx.ajax("POST", `${this.#address.replace("list/", item.dataset.item)}/folder/`, {
        target: this.#list,
        swap: "innerHTML",
        values: { folder: name.value },
      });
    };
    this.#folders.addEventListener("close", closed, { once: true });
    this.#folders.showModal();
  }

  #rename(item, editing) {
    const form = item.querySelector(".item__form");
    form.hidden = !editing;
    item.querySelector(".item__link").hidden = editing;
    item.querySelector(".item__tools").hidden = editing;
    if (editing) {
      form.elements.title.focus();
      form.elements.title.select();
    } else {
      form.reset();
      item.querySelector(".item__link").focus();
    }
  }

  #ask(event) {
    if (!event.detail.question) return;
    event.preventDefault();
    this.#dialog.querySelector("[data-question]").textContent = event.detail.question;
    this.#dialog.returnValue = "";
    this.#dialog.addEventListener(
      "close",
      () => this.#dialog.returnValue === "delete" && event.detail.issueRequest(true),
      { once: true },
    );
    this.#dialog.showModal();
  }

  // The line that asked has left the page when its answer is there, so that its neighbour must be found before.
  #leaving({ detail }) {
    if (!detail.target.matches(".item")) return;
    const items = [...this.#list.querySelectorAll(".item")];
    const index = items.indexOf(detail.target);
    this.#neighbour = items[index + 1] ?? items[index - 1];
  }

  #requested({ detail }) {
    const { successful, target, xhr } = detail;
    if (!successful || !target.matches(".item") || xhr.getResponseHeader("HX-Redirect")) return;
    if (xhr.responseText.trim()) this.#renamed(target.dataset.item);
    else this.#deleted();
  }

  #failed({ target, xhr }) {
    if (xhr?.status !== 404 || !target.matches(".item")) {
      notify(refusal(xhr));
      return;
    }
    // Deleted in another tab.
    this.#leaving({ detail: { target } });
    target.remove();
    this.#deleted();
  }

  #renamed(conversation) {
    announce(text("renamed"));
    const item = this.#item(conversation);
    item.querySelector(".item__link").focus();
    const title = item.querySelector("[data-title]").textContent;
    this.#list.dispatchEvent(new CustomEvent("retitled", { detail: { conversation, title }, bubbles: true }));
  }

  #deleted() {
    notify(text("deleted"));
    for (const day of this.#list.querySelectorAll(".day:not(:has(.item))")) day.remove();
    (this.#neighbour?.querySelector(".item__link") ?? document.getElementById("new-conversation")).focus();
  }
}
