// Buttons that copy and say so for a moment.

import { writeClipboard } from "../clipboard.js";
import { notify } from "./notify.js";
import { text } from "./texts.js";

const SHOWN = 2000; // ms
const timers = new WeakMap();

export async function copyWithButton(button, content) {
  if (!(await writeClipboard(content))) {
    notify(text("copyFailed"));
    return;
  }
  const label = button.querySelector("[data-label]") ?? button;
  const before = (label.dataset.before ??= label.textContent);
  label.textContent = text("copied");
  clearTimeout(timers.get(label));
  timers.set(label, setTimeout(() => (label.textContent = before), SHOWN));
}
