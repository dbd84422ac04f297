// A shared conversation: only its Markdown needs a script.

import { renderMarkdown } from "./markdown.js";

for (const answer of document.querySelectorAll("[data-answer]")) {
  answer.replaceChildren(renderMarkdown(answer.textContent));
}
