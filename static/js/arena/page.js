// The battle page: one prompt box, two answers in step, a vote, and the names.

import { clearAnnouncements, announce } from "../chat/announcer.js";
import { recall, remember } from "../chat/memory.js";
import { notify } from "../chat/notify.js";
import { drawFile, Files } from "../files.js";
import { text } from "../chat/texts.js";
import { post } from "../post.js";
import { checkSeal, offerSharing, reveal } from "./reveal.js";
import { say } from "./say.js";
import { Side } from "./side.js";
import { ArenaSocket } from "./socket.js";

const SIDES = ["left", "right"];
const PATIENCE = 1200; // ms without a connection before the page says so
const touch = matchMedia("(hover: none) and (pointer: coarse)");
const page = document.getElementById("content");
const element = (id) => document.getElementById(id);

class Round {
  constructor(section) {
    this.element = section;
    this.sides = Object.fromEntries(
      SIDES.map((side) => [side, new Side(section.querySelector(`[data-side=${side}]`))]),
    );
  }

  static pending(prompt, files) {
    const section = element("round-template").content.firstElementChild.cloneNode(true);
    section.querySelector("[data-question]").textContent = prompt;
    const list = section.querySelector("[data-files]");
    list.append(...files.map((file) => drawFile({ ...file, address: `${element("files").dataset.address}${file.id}/` })));
    list.hidden = files.length === 0;
    return new Round(section);
  }

  queued(position) {
    for (const side of this.both) if (side.running) side.queued(position);
  }

  get both() {
    return Object.values(this.sides);
  }

  get running() {
    return this.both.some((side) => side.running);
  }

  get comparable() {
    return this.both.every((side) => side.finished);
  }
}

class Page {
  #battle = page.dataset.battle;
  #address = page.dataset.address;
  #voted = page.dataset.voted === "yes";
  #voting = false;
  #wished = new Set();
  #pending = null; // { clientId, kind, round }
  #surprised = -1;
  #patience = 0;

  constructor() {
    this.rounds = [...document.querySelectorAll("#rounds .round")].map((section) => new Round(section));
    this.files = new Files(element("composer"), (sentence) => this.#complain(sentence));
    this.socket = new ArenaSocket(page.dataset.socket, () => this.#watch());
    this.#listen();
    this.#restoreDraft();
    this.#show();
    checkSeal();
    // Disabled until now: without a script they would do nothing, or send the form with the text in the address.
    for (const id of ["send", "dice"]) element(id).disabled = false;
    this.socket.connect();
    if (this.last) this.last.element.scrollIntoView({ block: "start" });
    else if (!touch.matches) element("text").focus();
  }

  get last() {
    return this.rounds.at(-1);
  }

  get busy() {
    return this.#pending !== null || Boolean(this.last?.running);
  }

  // --- from the person ---------------------------------------------------------------------------------------

  #send() {
    const content = element("text").value;
    if (!content.trim()) return this.#complain(this.busy ? "" : text("emptyMessage"));
    if (this.busy) return this.#complain(text("running"));
    if (this.files.busy) return this.#complain(text("waitForFiles"));
    if (this.files.hasImage && !this.#canSee()) return this.#complain(say("nobodySees"));
    const frame = this.#battle
      ? { type: "say", battle: this.#battle, text: content }
      : { type: "start", text: content, mode: page.dataset.mode, ...this.#comparison() };
    if (frame.left && frame.left === frame.right) return this.#complain(say("same"));
    element("text").value = "";
    this.#complain("");
    frame.attachments = this.files.ids;
    const files = this.files.handOver();
    this.#ask(frame, "send", Round.pending(content, files));
    this.#pending.files = files;
    remember("arena-outgoing", JSON.stringify(frame));
  }

  // Of a battle that runs nobody may know what its sides can do; the site refuses then.
  #canSee() {
    if (this.#battle) return true;
    if (page.dataset.mode !== "side_by_side") return Number(page.dataset.seeing) >= 2;
    return SIDES.every((side) => element(`pick-${side}`).selectedOptions[0]?.hasAttribute("data-sees"));
  }

  #showCard(side) {
    const model = element(`pick-${side}`).selectedOptions[0];
    const card = element(`card-${side}`);
    card.querySelector("[data-card-text]").textContent = model?.dataset.description ?? "";
    card.querySelector("[data-card-licence]").textContent = model?.dataset.licence ?? "";
  }

  #comparison() {
    if (page.dataset.mode !== "side_by_side") return {};
    const settings = {};
    for (const name of ["temperature", "top_p", "max_tokens", "system_prompt"]) {
      const value = element(`setting-${name}`).value;
      if (value !== "") settings[name] = name === "system_prompt" ? value : Number(value);
    }
    return { left: element("pick-left").value, right: element("pick-right").value, settings };
  }

  #ask(frame, kind, round) {
    const clientId = newId();
    this.#pending = { clientId, kind, round };
    frame.client_id = clientId;
    this.#wished.add(clientId);
    clearAnnouncements();
    if (kind === "send") {
      this.rounds.push(round);
      element("rounds").append(round.element);
      this.#nameSides();
      round.element.scrollIntoView({ block: "start" });
    }
    this.socket.ask(frame);
    this.#show();
  }

  #regenerate() {
    if (this.busy || this.#voted) return;
    this.#ask({ type: "regenerate", battle: this.#battle }, "regenerate", this.last);
  }

  async #vote(choice) {
    if (this.#voting || this.#voted || !this.last?.comparable) return;
    this.#voting = true;
    const reasons = [...document.querySelectorAll("#reasons :checked")].map((box) => box.value);
    const answer = await post(`${this.#address}vote/`, { choice, reasons });
    this.#voting = false;
    if (answer.error?.code === "voted") return location.reload();
    if (answer.error) return notify(answer.error.message);
    this.#voted = true;
    page.dataset.voted = "yes";
    this.names = { left: answer.left.name, right: answer.right.name };
    this.#nameSides();
    this.#show();
    reveal(answer);
    announce(`${say("names")} ${say("left")} ${this.names.left}, ${say("right")} ${this.names.right}`);
  }

  async #flag() {
    const dialog = element("flag-dialog");
    if (dialog.returnValue !== "flag") return;
    const answer = await post(`${this.#address}flag/`, { reason: element("flag-reason").value });
    notify(answer.error ? answer.error.message : say("flagged"));
  }

  // --- from the server ---------------------------------------------------------------------------------------

  #received(frame) {
    if (frame.type === "accepted") this.#accepted(frame);
    else if (frame.type === "event" && frame.battle === this.#battle) this.#event(frame);
    else if (frame.type === "waiting" && frame.battle === this.#battle) this.#round(frame.turn)?.queued(frame.position);
    else if (frame.type === "error") this.#refused(frame);
    else if (frame.type === "news" && !frame.battle) this.#compare();
    else if (frame.type === "news" && frame.battle === this.#battle) this.#heard(frame);
  }

  // Another tab went on with this battle. Its state there is more than a few pieces: the page is read anew, and what is
  // being written here is kept as a draft.
  #heard({ client_id: clientId, voted }) {
    if (this.#wished.has(clientId) || (voted && (this.#voting || this.#voted))) return;
    location.reload();
  }

  // What was said elsewhere while nobody listened, nobody has heard.
  async #compare() {
    if (!this.#battle || this.#pending) return;
    const response = await fetch(`${this.#address}state/`).catch(() => null);
    if (!response?.ok || response.redirected || this.#pending) return;
    const { turns, voted } = await response.json();
    if (turns > this.rounds.length || (voted && !this.#voted && !this.#voting)) location.reload();
  }

  #accepted({ client_id: clientId, battle, turn }) {
    if (this.#pending?.clientId !== clientId) return;
    const { kind, round } = this.#pending;
    this.#pending = null;
    remember("arena-outgoing", "");
    remember("arena-draft", element("text").value);
    if (!this.#battle) this.#open(battle);
    if (kind === "regenerate") for (const side of round.both) side.wait();
    round.element.dataset.turn = turn;
    this.#show();
  }

  #open(battle) {
    this.#battle = battle.id;
    this.#address = battle.url;
    if (page.dataset.mode === "side_by_side") this.names = this.#comparison();
    this.#nameSides();
    history.replaceState(history.state, "", battle.url);
    const seal = element("seal");
    seal.hidden = !battle.commitment;
    seal.querySelector("[data-commitment]").textContent = battle.commitment.slice(0, 16);
    seal.querySelector("[data-commitment]").title = battle.commitment;
  }

  #round(turn) {
    return this.rounds.find((candidate) => Number(candidate.element.dataset.turn) === turn);
  }

  #event({ turn, side: name, text: more, ended }) {
    const round = this.#round(turn);
    const side = round?.sides[name];
    if (!side?.running) return;
    side.write(more);
    if (!ended) return;
    side.end(ended);
    if (round.running) return;
    for (const which of SIDES) round.sides[which].readOut(say(which));
    if (round.comparable && !this.#voted) announce(say("bothThere"));
    this.#show();
  }

  #refused({ client_id: clientId, code, message }) {
    if (code === "terms") return location.reload();
    if (clientId && this.#pending?.clientId === clientId) {
      const { kind, round, files } = this.#pending;
      this.#pending = null;
      if (kind === "send") this.#takeBack(round, files);
    }
    this.#complain(message);
    this.#show();
  }

  #takeBack(round, files = []) {
    this.files.giveBack(files);
    round.element.remove();
    this.rounds = this.rounds.filter((other) => other !== round);
    const field = element("text");
    field.value = [round.element.querySelector("[data-question]").textContent, field.value].filter(Boolean).join("\n\n");
    remember("arena-outgoing", "");
    remember("arena-draft", field.value);
  }

  #watch() {
    if (!this.#battle || !this.last?.running || this.#pending) return null;
    const after = Object.fromEntries(SIDES.map((side) => [side, this.last.sides[side].length]));
    return { type: "watch", battle: this.#battle, after };
  }

  // --- keeping the page true ---------------------------------------------------------------------------------

  #listen() {
    this.socket.addEventListener("frame", ({ detail }) => this.#received(detail));
    this.socket.addEventListener("state", ({ detail }) => this.#showConnection(detail));
    this.socket.addEventListener("refused", () => {
      if (this.#pending?.kind === "send") this.#takeBack(this.#pending.round, this.#pending.files);
      this.#pending = null;
      this.#complain(text("tooLong"));
      this.#show();
    });
    this.socket.addEventListener("signedout", () => {
      location.assign(`${page.dataset.login}?next=${encodeURIComponent(location.pathname)}`);
    });
    element("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    element("text").addEventListener("input", () => {
      remember("arena-draft", element("text").value);
      this.#complain("");
    });
    element("text").addEventListener("keydown", (event) => {
      const composing = event.isComposing || event.keyCode === 229;
      if (event.key !== "Enter" || event.shiftKey || composing || touch.matches) return;
      event.preventDefault();
      element("composer").requestSubmit();
    });
    document.addEventListener("keydown", (event) => this.#key(event));
    element("start").addEventListener("click", (event) => {
      const example = event.target.closest("[data-example]");
      if (example) this.#fill(example.dataset.example);
    });
    element("dice").addEventListener("click", () => this.#surprise());
    element("again").addEventListener("click", () => this.#regenerate());
    element("stop").addEventListener("click", () => this.socket.send({ type: "stop", battle: this.#battle }));
    element("vote").addEventListener("click", (event) => {
      const button = event.target.closest("[data-choice]");
      if (button) this.#vote(button.dataset.choice);
    });
    element("flag").addEventListener("click", () => element("flag-dialog").showModal());
    element("flag-dialog").addEventListener("close", () => this.#flag());
    for (const side of page.dataset.mode === "side_by_side" ? SIDES : []) {
      element(`pick-${side}`).addEventListener("change", () => this.#showCard(side));
      this.#showCard(side);
    }
    element("settings-button")?.addEventListener("click", () => element("settings").showModal());
    element("settings-reset")?.addEventListener("click", () => element("settings-form").reset());
    offerSharing(() => this.#address);
    const dock = document.querySelector(".arena__dock");
    new ResizeObserver(() => page.style.setProperty("--dock-height", `${dock.offsetHeight}px`)).observe(dock);
  }

  // Digits vote while nobody writes; Escape leads out of the box and to the vote.
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const writing = event.target.closest?.("input, textarea, select");
    if (event.key === "Escape" && writing && !element("vote").hidden) element("vote-title").focus();
    if (writing) return;
    const choice = { 1: "left", 2: "right", 3: "tie", 4: "both_bad" }[event.key];
    if (choice && !element("vote").hidden) this.#vote(choice);
    if (event.key === "n" && this.#battle) element("new-round").click();
  }

  #surprise() {
    const examples = [...element("examples-template").content.children].map((line) => line.textContent);
    this.#surprised = (this.#surprised + 1) % examples.length;
    this.#fill(examples[this.#surprised]);
  }

  #fill(content) {
    element("text").value = content;
    remember("arena-draft", content);
    this.#complain("");
    element("text").focus();
  }

  // A message that was on its way when the page went away is given back; sent twice, it would be a second battle.
  #restoreDraft() {
    const outgoing = JSON.parse(recall("arena-outgoing") || "null");
    const stored = outgoing && (outgoing.battle ?? "") === this.#battle ? outgoing.text : "";
    element("text").value ||= stored || recall("arena-draft");
    remember("arena-outgoing", "");
  }

  #nameSides() {
    if (!this.names) return;
    for (const round of this.rounds) for (const side of SIDES) round.sides[side].name(this.names[side]);
  }

  #show() {
    const running = Boolean(this.last?.running) && !this.#pending;
    const idle = Boolean(this.last) && !this.busy;
    element("start").hidden = this.rounds.length > 0;
    const focused = document.activeElement;
    element("send").hidden = running;
    element("stop").hidden = !running;
    if (focused === element("send") && running && touch.matches) element("stop").focus();
    element("again").hidden = !idle || this.#voted;
    element("flag").hidden = !this.#battle;
    element("new-round").hidden = !this.#battle;
    element("dice").hidden = Boolean(this.#battle);
    element("vote").hidden = this.#voted || !idle || !this.last.comparable;
    if (this.#voted) element("seal").hidden = true;
    const pick = document.querySelector(".arena__pick");
    if (pick) pick.hidden = Boolean(this.#battle);
    if (element("settings-button")) element("settings-button").hidden = Boolean(this.#battle);
    page.toggleAttribute("data-busy", this.busy);
  }

  #complain(sentence) {
    element("problem").textContent = sentence;
    element("problem").hidden = !sentence;
  }

  #showConnection(state) {
    clearTimeout(this.#patience);
    if (state === "open") {
      element("connection").hidden = true;
      return;
    }
    this.#patience = setTimeout(() => {
      element("connection").textContent = text(state === "lost" ? "reconnecting" : "connecting");
      element("connection").hidden = false;
    }, PATIENCE);
  }
}

// crypto.randomUUID is missing on a site without HTTPS.
function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

new Page();
