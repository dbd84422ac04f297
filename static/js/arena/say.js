// The arena's own sentences, translated by the server; the chat's are in chat/texts.js.

export function say(name) {
  return document.getElementById("arena-texts")?.dataset[name] ?? name;
}
