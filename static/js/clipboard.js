// Copying that also works on a site without HTTPS, where browsers hide the clipboard.

/** True when `content` is in the clipboard. */
export async function writeClipboard(content) {
  try {
    if (navigator.clipboard) await navigator.clipboard.writeText(content);
    else return copyBySelection(content);
    return true;
  } catch {
    return false;
  }
}

function copyBySelection(content) {
  const focused = document.activeElement;
  const field = document.createElement("textarea");
  field.value = content;
  field.className = "visually-hidden";
  // Inside an open dialog, because what lies behind one cannot be selected.
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  focused?.focus();
  return copied;
}
