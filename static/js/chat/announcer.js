// Tells screen readers what happens, in whole blocks: never token by token.

const box = document.getElementById("announcer");

export function announce(sentence) {
  if (!sentence) return;
  const line = document.createElement("p");
  line.textContent = sentence;
  box.append(line);
}

/** Forgets the last answer's blocks, so that the log does not become a second transcript. */
export function clearAnnouncements() {
  box.replaceChildren();
}
