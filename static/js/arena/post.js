// Forms without a page change: the server answers with JSON, also when it refuses.

import { text } from "../chat/texts.js";

/** The answer; one with `error` when it was refused or did not arrive. */
export async function post(address, fields) {
  const body = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    for (const one of [value].flat()) body.append(name, one);
  }
  const token = document.querySelector("#csrf [name=csrfmiddlewaretoken]").value;
  try {
    const response = await fetch(address, { method: "POST", body, headers: { "X-CSRFToken": token } });
    if (response.redirected) {
      location.reload(); // signed out meanwhile
      return { error: { code: "signed_out", message: "" } };
    }
    return await response.json();
  } catch {
    return { error: { code: "failed", message: text("requestFailed") } };
  }
}
