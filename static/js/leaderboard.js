// The leaderboard's page: reads the board again when it hears that it changed, and saves plots as PNG and
// their tables as CSV.

const FEWEST_MS = 2000; // between two readings, however fast people vote
const LONGEST_WAIT_MS = 30000;
const SCALE = 3; // pixels for one unit of the drawing
const PAINTED = ["fill", "fill-opacity", "stroke", "stroke-width", "font-size", "font-family"];

const page = document.querySelector("[data-socket]");
const board = document.querySelector("#board");
const switches = document.querySelector("#switches");

let wait = 1000;
let due = null;
let readAt = 0;

function readAgain() {
  due = null;
  // Nobody looks, or somebody is reading what a board behind their eyes would close.
  if (document.hidden || board.querySelector("details[open]")) {
    due = setTimeout(readAgain, FEWEST_MS);
    return;
  }
  readAt = Date.now();
  window.htmx.ajax("GET", window.location.href, { target: "#board", swap: "innerHTML" });
}

function heard() {
  if (due === null) {
    due = setTimeout(readAgain, Math.max(0, readAt + FEWEST_MS - Date.now()) + Math.random() * 500);
  }
}

function listen() {
  const url = new URL(page.dataset.socket, window.location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url);
  socket.addEventListener("open", () => {
    wait = 1000;
  });
  socket.addEventListener("message", heard);
  socket.addEventListener("close", (event) => {
    if (event.code === 4401) return; // signed out: the next click leads to the log-in page
    setTimeout(listen, wait + Math.random() * 500);
    wait = Math.min(LONGEST_WAIT_MS, wait * 2);
  });
}

// The page's style sheet does not reach into an image, so its colours are written on the copy.
function painted(drawing) {
  const copy = drawing.cloneNode(true);
  const originals = [drawing, ...drawing.querySelectorAll("*")];
  const copies = [copy, ...copy.querySelectorAll("*")];
  originals.forEach((original, index) => {
    const style = getComputedStyle(original);
    for (const name of PAINTED) copies[index].setAttribute(name, style.getPropertyValue(name));
    copies[index].removeAttribute("class");
  });
  const { width, height } = drawing.viewBox.baseVal;
  copy.setAttribute("width", width * SCALE);
  copy.setAttribute("height", height * SCALE);
  return { text: new XMLSerializer().serializeToString(copy), width: width * SCALE, height: height * SCALE };
}

async function save(button) {
  const card = button.closest("figure");
  const { text, width, height } = painted(card.querySelector("svg"));
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  context.fillStyle = getComputedStyle(card).backgroundColor;
  context.fillRect(0, 0, width, height);
  context.drawImage(image, 0, 0, width, height);
  download(`${button.dataset.png}.png`, canvas.toDataURL("image/png"));
}

function saveTable(button) {
  const rows = [...button.closest("figure").querySelectorAll("tr")];
  const lines = rows.map((row) => [...row.cells].map((cell) => quoted(cell.textContent.trim())).join(","));
  const address = URL.createObjectURL(new Blob([`${lines.join("\r\n")}\r\n`], { type: "text/csv" }));
  download(`${button.dataset.csv}.csv`, address);
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

// A spreadsheet would run a name that starts like a formula.
function quoted(text) {
  const safe = /^[=+\-@]/.test(text) ? `'${text}` : text;
  return `"${safe.replaceAll('"', '""')}"`;
}

function download(name, address) {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
}

function offerFiles() {
  for (const button of board.querySelectorAll("[data-png], [data-csv]")) button.hidden = false;
}

board.addEventListener("click", (event) => {
  const button = event.target.closest("[data-png], [data-csv]");
  if (button) (button.dataset.csv ? saveTable : save)(button);
});
document.body.addEventListener("htmx:afterSettle", offerFiles);
// A refused wish (422) is a sentence for the person, which htmx would not show.
document.body.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.status === 422) event.detail.shouldSwap = true;
});
// Category and language exclude each other.
switches.addEventListener(
  "change",
  (event) => {
    const other = { category: "language", language: "category" }[event.target.name];
    if (other && event.target.value) switches.elements[other].value = "";
  },
  true,
);
offerFiles();
listen();
