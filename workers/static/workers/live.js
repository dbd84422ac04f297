// The live lists of the admin: htmx fetches the page, and this puts its new cells into the rows that are there.
// The rows themselves stay, and with them the check boxes of the actions and what actions.js has bound to them.

"use strict";

{
  const rowsByKey = (list) =>
    new Map(Array.from(list.querySelectorAll("tbody tr"), (row) => [row.querySelector(".action-select")?.value, row]));

  /** Replaces the cells beside the check boxes. False when the two lists do not hold the same rows. */
  const replaceCells = (list, fresh) => {
    const [old, wanted] = [rowsByKey(list), rowsByKey(fresh)];
    if (old.size !== wanted.size || ![...wanted.keys()].every((key) => key !== undefined && old.has(key))) return false;
    for (const [key, row] of wanted) {
      const cells = Array.from(row.children).filter((cell) => !cell.classList.contains("action-checkbox"));
      const present = Array.from(old.get(key).children).filter((cell) => !cell.classList.contains("action-checkbox"));
      // A cell in use (a focused link) is left alone; the next poll finds it free.
      present.forEach((cell, index) => cell.contains(document.activeElement) || cell.replaceWith(cells[index]));
    }
    return true;
  };

  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target.id !== "live-list") return;
    const page = new DOMParser().parseFromString(event.detail.serverResponse, "text/html");
    const fresh = page.getElementById("live-list");
    // A page without the list is another page: the session has ended. Reloading shows the log-in.
    if (!fresh) return void window.location.reload();
    for (const selector of ["#live-fleet", "#live-orders", "#live-broker", ".paginator"]) {
      const part = page.querySelector(selector);
      if (part) document.querySelector(selector)?.replaceWith(part);
    }
    const [counter, counted] = [document, page].map((root) => root.querySelector(".action-counter"));
    if (counter && counted) counter.dataset.actionsIcnt = counted.dataset.actionsIcnt;
    const list = event.detail.target;
    if (list.querySelector(".action-select:checked") || replaceCells(list, fresh)) {
      event.detail.shouldSwap = false;
    }
  });

  document.addEventListener("htmx:afterSettle", () => {
    const boxes = document.querySelectorAll("#live-list .action-select");
    if (document.getElementById("action-toggle") && boxes.length) window.Actions?.(boxes);
  });
}
