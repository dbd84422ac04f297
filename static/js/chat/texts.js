// Sentences for people, translated by the server (templates/arena/partials/texts.html).

/** The sentence with this name; the name itself where a page brings no texts. */
export function text(name) {
  return document.getElementById("texts")?.dataset[name] ?? name;
}

/** The place in a queue, as a sentence. */
export function placed(position) {
  return text("position").replace("{n}", number(position));
}

/** A number the way the page's language writes it. */
export function number(value, digits = 0) {
  const format = new Intl.NumberFormat(document.documentElement.lang || undefined, { maximumFractionDigits: digits });
  return format.format(value);
}
