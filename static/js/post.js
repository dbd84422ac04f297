// Forms without a page change: the server answers with JSON, also when it refuses.

import { text } from "./chat/texts.js";

/** The answer; one with `error` when it was refused or did not arrive. A file among the fields is sent as one. */
export async function post(address, fields = {}) {
  const entries = Object.entries(fields).flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
  const body = entries.some(([, value]) => value instanceof Blob) ? new FormData() : new URLSearchParams();
  for (const [name, value] of entries) body.append(name, value);
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
