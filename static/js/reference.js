// The API reference: opens what an address names, switches the language of examples, and sends requests.

const key = document.querySelector("[data-key]");
const buttons = document.querySelectorAll("[data-language]");

/** The endpoint that the address names is open; a folded one could not be read. */
function openTarget() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!(target instanceof HTMLDetailsElement)) return;
  target.open = true;
  target.scrollIntoView();
}

/** Shows examples in `language`; an endpoint that has none in it keeps showing curl. */
function showLanguage(language) {
  for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.language === language));
  for (const endpoint of document.querySelectorAll(".endpoint")) {
    const programs = [...endpoint.querySelectorAll("[data-program]")];
    const chosen = programs.find((program) => program.dataset.program === language) ?? programs[0];
    for (const program of programs) program.hidden = program !== chosen;
  }
}

/** What the form asks for, as `fetch` takes it. */
function requestOf(form) {
  const fields = [...form.querySelectorAll("[data-in]")];
  const of = (place) => fields.filter((field) => field.dataset.in === place);
  const path = of("path").reduce(
    (text, field) => text.replace(`{${field.name}}`, encodeURIComponent(field.value)),
    form.dataset.path,
  );
  const query = new URLSearchParams(of("query").filter((field) => field.value).map((field) => [field.name, field.value]));
  const options = { method: form.dataset.method, headers: {}, credentials: "omit" };
  if (!("public" in form.dataset)) options.headers.authorization = `Bearer ${key.value.trim()}`;
  const [body] = of("body");
  if (body) {
    options.headers["content-type"] = "application/json";
    options.body = body.value;
  } else if (of("form").length) {
    options.body = new FormData();
    for (const field of of("form")) options.body.append(field.name, field.files ? field.files[0] : field.value);
  }
  return [query.size ? `${path}?${query}` : path, options];
}

/** Sends, and shows the answer as it comes in. */
async function send(form) {
  const status = form.querySelector("[data-status]");
  const answer = form.querySelector("[data-answer]");
  const stop = form.querySelector("[data-stop]");
  const abort = new AbortController();
  const started = performance.now();
  stop.hidden = false;
  stop.onclick = () => abort.abort();
  answer.hidden = false;
  answer.textContent = "";
  status.textContent = "…";
  try {
    const [address, options] = requestOf(form);
    const response = await fetch(address, { ...options, signal: abort.signal });
    status.textContent = `${response.status} ${response.statusText}`;
    const text = await readInto(answer, response);
    if (response.headers.get("content-type")?.startsWith("application/json")) answer.textContent = pretty(text);
    const seconds = ((performance.now() - started) / 1000).toFixed(2);
    status.textContent = [response.status, response.statusText, `${seconds} s`, response.headers.get("x-request-id")]
      .filter(Boolean)
      .join(" · ");
  } catch (error) {
    status.textContent = error.name === "AbortError" ? status.textContent : String(error.message);
  } finally {
    stop.hidden = true;
  }
}

async function readInto(element, response) {
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  let text = "";
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
    text += decoder.decode(value, { stream: true });
    element.textContent = text;
    element.scrollTop = element.scrollHeight;
  }
  return text;
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

for (const button of buttons) button.addEventListener("click", () => showLanguage(button.dataset.language));
for (const form of document.querySelectorAll("[data-try]"))
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!("public" in form.dataset) && !key.value.trim()) {
      key.scrollIntoView({ block: "center" });
      key.focus();
    } else send(form);
  });
// A phone has no room for the list beside the text: it begins folded there.
if (matchMedia("(max-width: 60rem)").matches) document.querySelector(".reference__toc").open = false;
addEventListener("hashchange", openTarget);
openTarget();
