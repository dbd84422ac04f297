// Markdown of an answer → safe DOM. The one renderer, for stored and for streamed text.
//
// Three guards stand one behind the other: markdown-it passes no HTML through, DOMPurify sees what was rendered
// (never the source: what is clean before rendering need not be so after it) and lets only listed names through,
// and the page's Content-Security-Policy forbids inline scripts and styles and every foreign address.

import MarkdownIt from "../../vendor/markdown-it.js";
import DOMPurify from "../../vendor/dompurify.js";
import hljs from "../../vendor/highlight.js";
import { formulas, typeset } from "./formulas.js";
import { text } from "./texts.js";

const TAGS = [
  "a", "blockquote", "br", "code", "del", "div", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s",
  "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
];
const CLASSES = /^(math|math--block|hljs-[\w-]+|language-[\w+#.-]+|align-(center|right)|function_|class_|inherited__|constant_|language_)$/;
const SAFE_ADDRESS = /^(?:https?:\/\/|mailto:)/i;
// What has a direction of its own, told by its first letter: a Hebrew list has its signs on the right. Code has none.
const DIRECTED = "p, h3, h4, h5, h6, ul, ol, blockquote, table";
// Colouring a longer piece of code would hold up the page.
const LONGEST_COLOURED_CODE = 60_000;

const purifier = DOMPurify(window);
const settings = {
  ALLOWED_TAGS: TAGS,
  ALLOWED_ATTR: ["href", "title", "class", "start"],
  ALLOWED_URI_REGEXP: SAFE_ADDRESS,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

purifier.addHook("uponSanitizeAttribute", (node, attribute) => {
  if (attribute.attrName !== "class") return;
  attribute.attrValue = attribute.attrValue.split(/\s+/).filter((name) => CLASSES.test(name)).join(" ");
  attribute.keepAttr = attribute.attrValue !== "";
});

purifier.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName !== "A") return;
  if (!SAFE_ADDRESS.test(node.getAttribute("href") ?? "")) {
    node.removeAttribute("href");
    return;
  }
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
});

// `breaks`: a poem or an address keeps its lines.
const md = new MarkdownIt({ html: false, linkify: true, breaks: true, highlight });
md.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false });
md.use(formulas);
md.validateLink = (address) => SAFE_ADDRESS.test(address.trim());

function highlight(code, language) {
  if (!language || code.length > LONGEST_COLOURED_CODE || !hljs.getLanguage(language)) return "";
  return hljs.highlight(code, { language, ignoreIllegals: true }).value;
}

// An image would be fetched from an address the model chose, and what it wrote there would leave with the request.
// A link is followed only by a person who wants to.
md.renderer.rules.image = (tokens, index) => {
  const { escapeHtml } = md.utils;
  const label = `${tokens[index].content || text("image")} (${text("image")})`;
  return `<a href="${escapeHtml(tokens[index].attrGet("src") ?? "")}">${escapeHtml(label)}</a>`;
};

// The page has its own h1 and h2, so an answer's first heading becomes h3, and none is skipped on the way down:
// who moves by headings finds an outline. `levels` carries the state from one part of an answer to the next.
function levelHeadings(tokens, levels) {
  for (const token of tokens) {
    if (token.type !== "heading_open" && token.type !== "heading_close") continue;
    if (token.type === "heading_open") {
      const level = Number(token.tag.slice(1));
      levels.first ??= level;
      levels.last = Math.max(3, Math.min(3 + level - levels.first, levels.last + 1, 6));
    }
    token.tag = `h${levels.last}`;
  }
  return levels;
}

const TOP = { first: null, last: 2 };

// markdown-it aligns cells with style="…", which the Content-Security-Policy forbids.
for (const rule of ["th_open", "td_open"]) {
  md.renderer.rules[rule] = (tokens, index, options, env, self) => {
    const alignment = /text-align:(center|right)/.exec(tokens[index].attrGet("style") ?? "");
    tokens[index].attrs = alignment ? [["class", `align-${alignment[1]}`]] : null;
    return self.renderToken(tokens, index, options);
  };
}

/** Safe DOM of a whole text. */
export function renderMarkdown(source) {
  const env = {};
  const tokens = md.parse(source, env);
  levelHeadings(tokens, { ...TOP });
  return toFragment(tokens, env);
}

function toFragment(tokens, env) {
  const fragment = purifier.sanitize(md.renderer.render(tokens, md.options, env), settings);
  for (const block of fragment.querySelectorAll(DIRECTED)) block.dir = "auto";
  for (const code of fragment.querySelectorAll("pre > code")) frameCode(code);
  for (const table of fragment.querySelectorAll("table")) frameTable(table);
  typeset(fragment);
  return fragment;
}

function frameCode(code) {
  const language = /(?:^|\s)language-(\S+)/.exec(code.className)?.[1] ?? "";
  const pre = code.parentElement;
  // Wide code scrolls sideways; without a place in the tab order only a mouse could do that.
  pre.tabIndex = 0;
  pre.dir = "ltr";
  pre.setAttribute("role", "group");
  pre.setAttribute("aria-label", `${text("codeBlock")} ${language}`.trim());

  const name = document.createElement("span");
  name.textContent = language || text("code");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button button--quiet button--small";
  button.dataset.action = "copy-code";
  button.textContent = text("copyCode");

  const head = document.createElement("div");
  head.className = "code__head";
  head.append(name, button);
  const frame = document.createElement("div");
  frame.className = "code";
  pre.replaceWith(frame);
  frame.append(head, pre);
}

function frameTable(table) {
  const frame = document.createElement("div");
  frame.className = "table-scroll";
  frame.tabIndex = 0;
  frame.setAttribute("role", "group");
  frame.setAttribute("aria-label", text("table"));
  table.replaceWith(frame);
  frame.append(table);
}

/** What a screen reader is told of rendered nodes: code and tables by their size, not sign by sign. */
export function spoken(nodes) {
  return [...nodes].map(spokenNode).filter(Boolean).join("\n");
}

function spokenNode(node) {
  if (node.nodeType !== Node.ELEMENT_NODE) return node.textContent.trim();
  if (node.matches(".math")) return node.dataset.tex ?? node.textContent.trim();
  if (node.matches(".code")) {
    const lines = node.querySelector("code").textContent.trimEnd().split("\n").length;
    return `${node.querySelector("pre").getAttribute("aria-label")}, ${lines} ${text("lines")}.`;
  }
  if (node.matches(".table-scroll")) {
    return [...node.querySelectorAll("tr")].map((row) => [...row.cells].map((cell) => cell.textContent).join(", ")).join(". ");
  }
  if (node.querySelector(".code, .table-scroll")) return spoken(node.childNodes);
  if (!node.querySelector(".math[data-tex]")) return node.textContent.trim();
  // MathML holds each formula twice: drawn, and as it was written.
  const words = node.cloneNode(true);
  for (const formula of words.querySelectorAll(".math[data-tex]")) formula.textContent = formula.dataset.tex;
  return words.textContent.trim();
}

// The last two blocks may still change their nature with the next character ("2" behind a list becomes its next item).
const OPEN_BLOCKS = 2;
// Rendering takes at most this share of the time, however long the open block gets.
const LARGEST_SHARE = 0.25;

/**
 * Renders a text while it grows. Blocks that can no longer change are made once and stay, so that a long answer
 * costs as little as a short one, and a selection or a focused button in them survives.
 */
export class GrowingMarkdown {
  #box;
  #onSettled;
  #source = "";
  #settledTo = 0;
  #open = [];
  #levels = { ...TOP };
  #timer = 0;
  #frame = 0;
  #cost = 0;

  /** @param onSettled called with the nodes of each block, once, in order */
  constructor(box, onSettled = () => {}) {
    this.#box = box;
    this.#onSettled = onSettled;
    box.replaceChildren();
    box.dataset.rendered = "";
  }

  get source() {
    return this.#source;
  }

  /** `whole`: this is the text from its start, not a continuation. */
  append(more, { whole = false } = {}) {
    if (whole) {
      this.#source = "";
      this.#settledTo = 0;
      this.#open = [];
      this.#levels = { ...TOP };
      this.#box.replaceChildren();
    }
    this.#source += more.replaceAll("\r", "");
    if (this.#timer || this.#frame) return;
    const pause = Math.min(this.#cost * (1 / LARGEST_SHARE - 1), 1000);
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      this.#frame = requestAnimationFrame(() => {
        this.#frame = 0;
        this.#render();
      });
    }, pause);
  }

  /** Renders what is left, at once. The result is the same as that of the whole text rendered in one go. */
  finish() {
    clearTimeout(this.#timer);
    cancelAnimationFrame(this.#frame);
    this.#timer = this.#frame = 0;
    this.#render();
    this.#onSettled(this.#open);
    this.#open = [];
    const whole = document.createElement("div");
    whole.append(renderMarkdown(this.#source));
    // They differ when something late, such as a link's definition, changes something early.
    if (whole.innerHTML !== this.#box.innerHTML) this.#box.replaceChildren(...whole.childNodes);
  }

  #render() {
    const begin = performance.now();
    const env = {};
    const tail = this.#source.slice(this.#settledTo);
    const tokens = md.parse(tail, env);
    const starts = tokens.flatMap((token, index) => (token.level === 0 && token.nesting >= 0 ? [index] : []));
    const cut = starts.length > OPEN_BLOCKS ? starts.at(-OPEN_BLOCKS) : 0;

    for (const node of this.#open) node.remove();
    this.#levels = levelHeadings(tokens.slice(0, cut), this.#levels);
    levelHeadings(tokens.slice(cut), { ...this.#levels });
    if (cut) {
      const settled = toFragment(tokens.slice(0, cut), env);
      const nodes = [...settled.childNodes];
      this.#box.append(settled);
      this.#settledTo += lineOffset(tail, tokens[cut].map[0]);
      this.#onSettled(nodes);
    }
    const open = toFragment(tokens.slice(cut), env);
    this.#open = [...open.childNodes];
    this.#box.append(open);
    this.#cost = performance.now() - begin;
  }
}

function lineOffset(source, line) {
  let offset = 0;
  for (let i = 0; i < line; i += 1) offset = source.indexOf("\n", offset) + 1;
  return offset;
}
