// Buttons that copy what another element holds: <button data-copy="#id" data-copied="Copied">.

import { writeClipboard } from "./clipboard.js";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.querySelector(button.dataset.copy);
  if (await writeClipboard(source.textContent)) button.textContent = button.dataset.copied;
  // Not allowed: then it is at least selected, and a key press away.
  else getSelection().selectAllChildren(source);
});
