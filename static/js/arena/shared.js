// A shared battle: only its Markdown needs a script.

import { Side } from "./side.js";

for (const element of document.querySelectorAll("[data-side]")) new Side(element);
