// The opened seal: names, cards, what became of the vote, the link for others.

import { copyWithButton } from "../chat/clipboard.js";
import { notify } from "../chat/notify.js";
import { post } from "../post.js";
import { say } from "./say.js";

const panel = document.getElementById("reveal");

/** @param opened the server's answer to a vote */
export function reveal(opened) {
  part("choice-label").textContent = opened.choice_label;
  for (const side of ["left", "right"]) {
    const card = panel.querySelector(`[data-card=${side}]`);
    for (const field of ["name", "description", "licence"]) {
      card.querySelector(`[data-card-${field}]`).textContent = opened[side][field];
    }
  }
  part("exclusion-text").textContent = opened.exclusion;
  part("exclusion").hidden = !opened.exclusion;
  part("sealed-text").textContent = opened.sealed_text;
  part("commitment").textContent = opened.commitment;
  part("seal").hidden = !opened.sealed_text;
  panel.hidden = false;
  checkSeal();
  document.getElementById("reveal-title").focus({ preventScroll: true });
  panel.scrollIntoView({ block: "nearest" });
}

/** Hashes what was opened, here and not on the server. Browsers offer this on HTTPS and localhost only. */
export async function checkSeal() {
  const sealed = part("sealed-text").textContent;
  if (!sealed || !crypto.subtle) return;
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(sealed));
  const hash = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
  part("seal-checked").textContent = say(hash === part("commitment").textContent ? "sealHolds" : "sealBroken");
}

/** Share, copy and revoke. @param address of the battle */
export function offerSharing(address) {
  panel.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-action]");
    const action = button?.dataset.action;
    const field = document.getElementById("share-link");
    if (action === "copy-link") copyWithButton(button, field.value);
    if (action !== "share" && action !== "revoke") return;
    const answer = await post(`${address()}share/`, action === "revoke" ? { revoke: "1" } : {});
    if (answer.error) return notify(answer.error.message);
    field.value = answer.link;
    document.getElementById("shared").hidden = !answer.link;
    if (!answer.link) return;
    field.scrollIntoView({ block: "center" }); // else it may stand behind the prompt box
    field.select();
  });
}

function part(name) {
  return panel.querySelector(`[data-${name}]`);
}
