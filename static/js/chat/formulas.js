// Formulas in answers: where they are in Markdown, and how they become MathML. KaTeX is fetched with the first one.
//
// MathML and not KaTeX's own boxes: those are placed by style attributes, which the Content-Security-Policy forbids.

import DOMPurify from "../../vendor/dompurify.js";

const LONGEST = 20_000; // characters; longer ones stay as they are written
const purifier = DOMPurify(window);
const allowed = {
  USE_PROFILES: { mathMl: true },
  ADD_TAGS: ["semantics", "annotation"],
  FORBID_ATTR: ["style", "href"],
  RETURN_DOM_FRAGMENT: true,
};

const DELIMITERS = [
  { open: "$$", close: "$$", block: true },
  { open: "\\[", close: "\\]", block: true },
  { open: "\\(", close: "\\)", block: false },
  { open: "$", close: "$", block: false },
];

let katex = null;
let fetching = null;

/** Teaches a markdown-it to find formulas. It writes them as <span class="math"> and <div class="math math--block">. */
export function formulas(md) {
  md.inline.ruler.before("escape", "formula", inlineFormula);
  md.block.ruler.before("fence", "formula", blockFormula, { alt: ["paragraph", "blockquote", "list"] });
  const write = (tag) => (tokens, index) => {
    const { content, meta } = tokens[index];
    const name = meta.block ? "math math--block" : "math";
    return `<${tag} class="${name}">${md.utils.escapeHtml(content)}</${tag}>`;
  };
  md.renderer.rules.formula = write("span");
  md.renderer.rules.formula_block = write("div");
}

function inlineFormula(state, silent) {
  const { src, pos, posMax } = state;
  const delimiter = DELIMITERS.find(({ open }) => src.startsWith(open, pos));
  if (!delimiter) return false;
  const begin = pos + delimiter.open.length;
  const end = src.indexOf(delimiter.close, begin);
  if (end < 0 || end >= posMax || end === begin) return false;
  if (delimiter.open === "$" && !soundsLikeFormula(src, begin, end)) return false;
  if (!silent) {
    const token = state.push("formula", "", 0);
    token.content = src.slice(begin, end).trim();
    token.meta = { block: delimiter.block };
  }
  state.pos = end + delimiter.close.length;
  return true;
}

// "$5 and $6" are prices: a formula has no blank inside its signs, and no digit behind them (as Pandoc has it).
function soundsLikeFormula(src, begin, end) {
  return !/\s/.test(src[begin]) && !/\s/.test(src[end - 1]) && !/\d/.test(src[end + 1] ?? "") && !src.slice(begin, end).includes("\n\n");
}

function blockFormula(state, startLine, endLine, silent) {
  const lineOf = (line) => state.src.slice(state.bMarks[line] + state.tShift[line], state.eMarks[line]);
  const first = lineOf(startLine).trimEnd();
  const delimiter = DELIMITERS.find(({ open, block }) => block && first.startsWith(open));
  if (!delimiter || state.sCount[startLine] - state.blkIndent >= 4) return false;
  const content = [];
  for (let line = startLine; line < endLine; line += 1) {
    const text = line === startLine ? first.slice(delimiter.open.length) : lineOf(line).trimEnd();
    if (!text.endsWith(delimiter.close)) {
      // Text behind the end: it is a paragraph that begins with a formula.
      if (text.includes(delimiter.close)) return false;
      content.push(text);
      continue;
    }
    if (silent) return true;
    content.push(text.slice(0, -delimiter.close.length));
    const token = state.push("formula_block", "", 0);
    token.block = true;
    token.content = content.join("\n").trim();
    token.meta = { block: true };
    token.map = [startLine, line + 1];
    state.line = line + 1;
    return true;
  }
  return false;
}

/** Draws the formulas below `root`: at once when KaTeX is there, else as soon as it has come. */
export function typeset(root) {
  const found = [...root.querySelectorAll(".math")];
  if (!found.length) return;
  if (katex) found.forEach(draw);
  else fetchKatex().then(() => found.forEach(draw), () => {});
}

function fetchKatex() {
  fetching ??= import("../../vendor/katex.js").then(() => {
    katex = window.katex;
  });
  // A connection that was away for a moment is asked again for the next formula.
  fetching.catch(() => (fetching = null));
  return fetching;
}

function draw(element) {
  if (element.dataset.tex !== undefined) return;
  const source = element.textContent;
  if (source.length > LONGEST) return;
  const displayMode = element.classList.contains("math--block");
  let html;
  try {
    html = katex.renderToString(source, { output: "mathml", displayMode, trust: false, maxExpand: 500, strict: "ignore" });
  } catch {
    element.classList.add("math--raw"); // not TeX, or not yet: it stays as it was written
    return;
  }
  element.dataset.tex = source;
  element.replaceChildren(purifier.sanitize(html, allowed));
  if (displayMode) element.tabIndex = 0; // a wide one scrolls, also for those without a mouse
}
