// Copying that also works on a site without HTTPS, where browsers hide the clipboard.

import { notify } from "./notify.js";
import { text } from "./texts.js";

export async function copy(content) {
  try {
    if (navigator.clipboard) await navigator.clipboard.writeText(content);
    else copyBySelection(content);
    return true;
  } catch {
    notify(text("copyFailed"));
    return false;
  }
}

function copyBySelection(content) {
  const focused = document.activeElement;
  const field = document.createElement("textarea");
  field.value = content;
  field.className = "visually-hidden";
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  focused?.focus();
  if (!copied) throw new Error("not allowed");
}

/** Copies and says so in the button for a moment. */
export async function copyWithButton(button, content) {
  if (!(await copy(content))) return;
  const label = button.querySelector("[data-label]") ?? button;
  const before = (label.dataset.before ??= label.textContent);
  label.textContent = text("copied");
  clearTimeout(Number(label.dataset.timer));
  label.dataset.timer = String(setTimeout(() => (label.textContent = before), 2000));
}
