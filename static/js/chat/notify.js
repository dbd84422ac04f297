// A short message at the bottom of the page that goes away by itself.

const toast = document.getElementById("toast");
let timer = 0;

export function notify(sentence, milliseconds = 6000) {
  toast.textContent = sentence;
  clearTimeout(timer);
  timer = setTimeout(() => (toast.textContent = ""), milliseconds);
}
