// Keys for those who do not like to reach for the mouse, and the sheet that lists them.

const dialog = document.getElementById("keys-dialog");
const toggle = document.getElementById("keys-on");

/** @param actions key → what it does. They work while nobody writes, and can be switched off: a voice that is heard as
 *  letters would set them off (WCAG 2.1.4). */
export function offerShortcuts(actions) {
  toggle.checked = stored() !== "off";
  toggle.addEventListener("change", () => {
    try {
      localStorage.setItem("shortcuts", toggle.checked ? "on" : "off");
    } catch {
      // holds for this page only
    }
  });
  document.getElementById("keys-button").addEventListener("click", () => dialog.showModal());
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (!toggle.checked || document.querySelector("dialog[open]")) return;
    if (event.target.closest?.("input, textarea, select, [contenteditable]")) return;
    const action = event.key === "?" ? () => dialog.showModal() : actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function stored() {
  try {
    return localStorage.getItem("shortcuts");
  } catch {
    return null;
  }
}
