// Files that go with the next message: chosen, dropped or pasted, sent to the site at once, named in the message.

import { text } from "./chat/texts.js";
import { post } from "./post.js";

const LARGEST_SIDE = 1568; // px; chat models see no more, and a phone's picture would be ten times as large
const SHRINKABLE = ["image/jpeg", "image/png", "image/webp"];

export class Files {
  #box = document.getElementById("files");
  #input = document.getElementById("file-input");
  #button = document.getElementById("attach");
  #address;
  #onProblem;
  #sent = []; // { id, name, kind, element }
  #uploading = 0;

  /** @param target where files may be dropped; @param onProblem called with a sentence, "" to take it back */
  constructor(target, onProblem) {
    this.#address = this.#box.dataset.address;
    this.#onProblem = onProblem;
    this.#button.addEventListener("click", () => this.#input.click());
    this.#input.addEventListener("change", () => {
      this.#take([...this.#input.files]);
      this.#input.value = "";
    });
    target.addEventListener("paste", (event) => this.#taken(event, event.clipboardData));
    target.addEventListener("dragover", (event) => {
      if ([...event.dataTransfer.types].includes("Files")) event.preventDefault();
    });
    target.addEventListener("drop", (event) => this.#taken(event, event.dataTransfer));
    this.#box.addEventListener("click", (event) => {
      const button = event.target.closest("[data-remove]");
      if (button) this.#remove(button.dataset.remove);
    });
    this.#button.hidden = false;
  }

  get ids() {
    return this.#sent.map(({ id }) => id);
  }

  get hasImage() {
    return this.#sent.some(({ kind }) => kind === "image");
  }

  /** A file is on its way to the site: its message has to wait. */
  get busy() {
    return this.#uploading > 0;
  }

  /** The message took them along; returns what `giveBack` needs. */
  handOver() {
    const taken = this.#sent.splice(0);
    this.#draw();
    return taken;
  }

  /** The message was refused: they are the next one's again. */
  giveBack(taken) {
    this.#sent = [...taken, ...this.#sent];
    this.#draw();
  }

  #taken(event, data) {
    const files = [...(data?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    this.#take(files);
  }

  async #take(files) {
    this.#onProblem("");
    for (const file of files) {
      this.#uploading += 1;
      this.#draw();
      const answer = await post(this.#address, { file: await shrunk(file) });
      this.#uploading -= 1;
      if (answer.error) this.#onProblem(answer.error.message);
      else this.#sent.push(answer);
      this.#draw();
    }
  }

  async #remove(id) {
    this.#sent = this.#sent.filter((file) => file.id !== id);
    this.#draw();
    this.#button.focus();
    await post(`${this.#address}${id}/remove/`);
  }

  #draw() {
    this.#box.replaceChildren(...this.#sent.map((file) => this.#chip(file)));
    if (this.#uploading) {
      const waiting = document.createElement("li");
      waiting.className = "file file--waiting";
      waiting.textContent = text("uploading");
      this.#box.append(waiting);
    }
    this.#box.hidden = !this.#box.children.length;
    this.#box.dispatchEvent(new CustomEvent("files", { bubbles: true }));
  }

  #chip({ id, name, kind }) {
    const chip = drawFile({ name, kind, address: `${this.#address}${id}/` });
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button button--quiet button--small button--icon";
    button.dataset.remove = id;
    button.setAttribute("aria-label", `${text("remove")} ${name}`);
    button.textContent = "×";
    chip.append(button);
    return chip;
  }
}

/** A file as the page shows it. */
export function drawFile({ name, kind, address }) {
  const item = document.createElement("li");
  item.className = `file file--${kind}`;
  const link = document.createElement("a");
  link.href = address;
  link.target = "_blank";
  link.className = "file__link";
  if (kind === "image") {
    const image = document.createElement("img");
    image.src = address;
    image.alt = name;
    image.className = "file__image";
    link.append(image);
  } else {
    link.textContent = name;
  }
  item.append(link);
  return item;
}

// Large pictures are made smaller here: it saves the way to the site, and tokens.
async function shrunk(file) {
  if (!SHRINKABLE.includes(file.type)) return file;
  const image = await createImageBitmap(file).catch(() => null);
  const scale = image ? LARGEST_SIDE / Math.max(image.width, image.height) : 1;
  if (scale >= 1) return file;
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(image.width * scale);
  canvas.height = Math.round(image.height * scale);
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  const small = await new Promise((resolve) => canvas.toBlob(resolve, file.type, 0.9));
  return small ? new File([small], file.name, { type: file.type }) : file;
}
