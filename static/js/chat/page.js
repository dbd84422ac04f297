// The chat page: what happens between the composer, the transcript, the list and the socket.

import { Composer } from "./composer.js";
import { Files } from "../files.js";
import { Drawer } from "./drawer.js";
import { Following } from "./scrolling.js";
import { Settings } from "./settings.js";
import { Sidebar } from "./sidebar.js";
import { notify } from "./notify.js";
import { Opinions } from "./opinions.js";
import { offerShortcuts } from "./shortcuts.js";
import { ChatSocket } from "./socket.js";
import { text } from "./texts.js";
import { signatureOf, TurnView } from "./turn.js";

// The server closes the connection at 256 KiB; the frame around the text takes the rest.
const LONGEST_FRAME = 250 * 1024; // bytes
const PATIENCE = 1200; // ms without a connection before the page says so
const GOOD_NEWS = 2500; // ms that "connected again" stays
const TOGETHER = 150; // ms in which several pieces of news are one

const chat = document.getElementById("chat");
const turnList = document.getElementById("turns");

class Page {
  #conversation = chat.dataset.conversation;
  #pending = new Map(); // client_id → { kind: "send" | "regenerate", turn }
  #running = null;
  #stopping = false;
  #banner = document.getElementById("connection");
  #disconnection = "";
  #patience = 0;
  #news = [];
  #rereading = 0;
  #stale = false;

  constructor() {
    const key = this.#conversation || "new";
    this.following = new Following(document.getElementById("content"), document.getElementById("latest"));
    this.drawer = new Drawer();
    this.sidebar = new Sidebar(chat.dataset.list);
    this.settings = new Settings(key);
    this.composer = new Composer(key, { onSend: (content) => this.#send(content), onStop: () => this.#stop() });
    this.files = new Files(document.getElementById("composer"), (sentence) => this.composer.complain(sentence));
    this.opinions = new Opinions(turnList, chat.dataset.replies);
    this.turns = [...turnList.querySelectorAll(".turn")].map((turn) => new TurnView(turn, this.#changed));
    this.socket = new ChatSocket(chat.dataset.socket);
    this.#listen();
    this.#resume();
    this.#sendInterrupted();
    this.#showRunning();
    this.following.toEnd();
    this.socket.connect();
  }

  // --- from the person ---------------------------------------------------------------------------------------

  #send(content) {
    // The second Enter of a double press is no mistake worth a word.
    if (!content.trim()) return this.composer.complain(this.#busy ? "" : text("emptyMessage"));
    if (this.#busy) return this.composer.complain(text("running"));
    if (this.files.busy) return this.composer.complain(text("waitForFiles"));
    if (this.files.hasImage && !this.settings.sees) return this.composer.complain(text("cannotSee"));
    if (!this.settings.check()) {
      this.composer.complain(text("settingsWrong"));
      return this.settings.open();
    }
    const frame = {
      type: "send",
      client_id: newId(),
      conversation: this.#conversation || null,
      edits: this.composer.edited,
      text: content,
      chat_model: this.settings.chatModel,
      settings: this.settings.values,
      attachments: this.files.ids,
    };
    if (new Blob([JSON.stringify(frame)]).size > LONGEST_FRAME) return this.composer.complain(text("tooLong"));
    this.composer.sent(frame);
    this.composer.edit(null);
    this.#askFor(frame, this.files.handOver());
  }

  #askFor(frame, files = []) {
    const shown = files.map((file) => ({ ...file, address: `${chat.dataset.new}files/${file.id}/` }));
    const turn = TurnView.pending(frame.text, shown, this.#changed);
    this.turns.push(turn);
    turnList.append(turn.element);
    this.#showStart();
    this.#pending.set(frame.client_id, { kind: "send", turn, files, edits: frame.edits ?? null });
    this.socket.ask(frame);
    this.#showRunning();
    this.following.toEnd();
  }

  // The page went away before the server had confirmed a message. It is sent again under its old client_id: had it
  // arrived, the server answers with what it has stored then.
  #sendInterrupted() {
    const frame = this.composer.outgoing;
    if (frame) this.#askFor(frame);
  }

  /** @param replays the id of an answer that is to come out again as it is, or null */
  #regenerate(turn, replays = null) {
    if (this.#busy) return this.composer.complain(text("running"));
    if (!replays && !this.settings.check()) return this.settings.open();
    const frame = {
      type: "regenerate",
      client_id: newId(),
      message: turn.message,
      chat_model: replays ? null : this.settings.chatModel,
      settings: replays ? null : this.settings.values,
      replays,
    };
    this.#pending.set(frame.client_id, { kind: "regenerate", turn });
    this.composer.complain("");
    this.socket.ask(frame);
    this.#showRunning();
  }

  // The one that is picked then goes on with the conversation, as if the picker had named it.
  #regenerateWith(turn) {
    if (this.#busy) return this.composer.complain(text("running"));
    const dialog = document.getElementById("models-dialog");
    for (const button of dialog.querySelectorAll(".models button")) {
      button.setAttribute("aria-current", String(button.value === this.settings.chatModel));
    }
    dialog.returnValue = "";
    const closed = () => {
      if (!dialog.returnValue) return;
      this.settings.chatModel = dialog.returnValue;
      this.#regenerate(turn);
    };
    dialog.addEventListener("close", closed, { once: true });
    dialog.showModal();
  }

  #edit(turn) {
    if (this.#busy) return this.composer.complain(text("running"));
    this.composer.edit(turn.message);
    this.composer.fill(turn.question);
  }

  #stop() {
    if (!this.#running || this.#stopping) return;
    this.#stopping = true;
    this.socket.stop(this.#running.id);
    this.#showRunning();
  }

  // --- from the server ---------------------------------------------------------------------------------------

  #received(frame) {
    if (frame.type === "accepted") this.#accepted(frame);
    else if (frame.type === "event") this.#reply(frame.reply)?.handle(frame.event, { whole: frame.whole });
    else if (frame.type === "waiting") this.#reply(frame.reply)?.wait(frame);
    else if (frame.type === "error") this.#refused(frame);
    else if (frame.type === "news") this.#heard(frame);
  }

  // Something happened in another tab or on another device, or may have while nobody listened (news of nothing).
  #heard(frame) {
    this.#news.push(frame);
    clearTimeout(this.#rereading);
    this.#rereading = setTimeout(() => this.#takeIn(this.#news.splice(0)), TOGETHER);
  }

  #takeIn(all) {
    const unknown = all.filter(({ reply }) => !reply || !this.#reply(reply));
    this.#stale ||= unknown.some(({ conversation }) => !conversation || conversation === this.#conversation);
    if (unknown.some(({ conversation }) => conversation)) this.sidebar.refresh();
    this.#readAnew();
  }

  // Not while a wish of this page is on its way: its answer would come twice, once as news.
  async #readAnew() {
    if (!this.#stale || this.#pending.size || !this.#conversation) return;
    this.#stale = false;
    const response = await fetch(`${chat.dataset.new}${this.#conversation}/turns/`).catch(() => null);
    if (response?.status === 404) return this.#gone();
    if (!response?.ok || response.redirected) return;
    const content = document.createElement("template");
    content.innerHTML = await response.text();
    if (this.#pending.size) this.#stale = true;
    else this.#replaceTurns(content.content.firstElementChild);
  }

  // What is as it was stays in place, with its focus, its selection and its stream.
  #replaceTurns(fresh) {
    const known = new Map(this.turns.map((turn) => [turn.signature, turn]));
    const turns = [...fresh.querySelectorAll(".turn")].map((element) => {
      const id = signatureOf(element);
      return known.get(id) ?? new TurnView(document.adoptNode(element), this.#changed);
    });
    this.#retitle(this.#conversation, fresh.dataset.title);
    const changed = turns.length !== this.turns.length || turns.some((turn, index) => turn !== this.turns[index]);
    if (!changed) return;
    for (const turn of this.turns.filter((old) => !turns.includes(old))) {
      for (const reply of turn.replies) this.socket.unfollow(reply.id);
      turn.element.remove();
    }
    let next = turnList.querySelector(".turn");
    for (const { element } of turns) {
      if (element === next) next = next.nextElementSibling;
      else turnList.insertBefore(element, next);
    }
    const added = turns.filter((turn) => !this.turns.includes(turn));
    this.turns = turns;
    this.#running = turns.flatMap((turn) => turn.replies).find((reply) => reply.running) ?? null;
    this.#stopping &&= this.#running !== null;
    this.#follow(added);
    this.#showStart();
    this.#showRunning();
    this.following.contentChanged();
  }

  #gone() {
    notify(text("deleted"));
    this.sidebar.refresh();
    // What is being written here is kept: its draft belongs to the next conversation then.
    if (!this.composer.text) location.assign(chat.dataset.new);
  }

  #accepted({ client_id: clientId, conversation, message, reply }) {
    const pending = this.#pending.get(clientId);
    if (!pending) return;
    this.#pending.delete(clientId);
    if (this.#reply(reply.id)) {
      // Stored before the page was loaded, which therefore shows it already.
      this.#remove(pending.turn);
      this.composer.confirmed(conversation.id);
      this.#showRunning();
      return;
    }
    if (pending.edits) {
      // The page of the new branch; the answer goes on there from its first word.
      this.composer.confirmed(conversation.id);
      location.assign(conversation.url);
      return;
    }
    if (pending.kind === "send") {
      pending.turn.accepted(message);
      this.#openConversation(conversation);
      this.composer.confirmed(conversation.id);
      this.sidebar.refresh();
    }
    this.settings.stored(conversation.id);
    const view = pending.turn.addReply(reply);
    this.socket.follow(reply.id, { watch: false });
    this.#run(view);
    this.following.toEnd();
    this.#readAnew();
  }

  #openConversation(conversation) {
    if (this.#conversation) return;
    this.#conversation = chat.dataset.conversation = conversation.id;
    history.replaceState(history.state, "", conversation.url);
    this.sidebar.open = conversation.id;
    const share = document.getElementById("share");
    share.hidden = false;
    share.querySelector("a").href = `${conversation.url}share/`;
    this.#retitle(conversation.id, conversation.title);
  }

  #retitle(conversation, title) {
    this.sidebar.retitle(conversation, title);
    if (conversation !== this.#conversation) return;
    const heading = document.getElementById("title");
    heading.textContent = title || text("untitled");
    heading.hidden = false;
    document.title = `${heading.textContent} · chatsite`;
  }

  #refused({ client_id: clientId, reply, field, message }) {
    const pending = this.#pending.get(clientId);
    if (pending) {
      this.#pending.delete(clientId);
      this.#takeBack(pending);
      this.settings.complain(field, message);
    }
    const view = reply && this.#reply(reply);
    if (view?.running) {
      this.socket.unfollow(reply);
      view.fail(message);
    } else {
      this.composer.complain(message);
    }
    this.#showRunning();
    this.#readAnew();
  }

  #takeBack({ kind, turn, files, edits }) {
    if (kind !== "send") return;
    this.files.giveBack(files);
    this.#remove(turn);
    this.composer.edit(edits);
    this.composer.giveBack(turn.question);
  }

  #remove(turn) {
    turn.element.remove();
    this.turns = this.turns.filter((other) => other !== turn);
    this.#showStart();
  }

  // The server could not read what it got and said so by hanging up.
  #refusedFrame() {
    for (const [clientId, pending] of [...this.#pending]) {
      this.#pending.delete(clientId);
      this.#takeBack(pending);
    }
    this.composer.complain(text("tooLong"));
    this.#showRunning();
  }

  // --- keeping the page true ---------------------------------------------------------------------------------

  #listen() {
    this.socket.addEventListener("frame", ({ detail }) => this.#received(detail));
    this.socket.addEventListener("state", ({ detail }) => this.#showConnection(detail));
    this.socket.addEventListener("refused", () => this.#refusedFrame());
    this.socket.addEventListener("signedout", () => {
      location.assign(`${chat.dataset.login}?next=${encodeURIComponent(location.pathname)}`);
    });
    turnList.addEventListener("click", (event) => {
      const action = event.target.closest("[data-action]")?.dataset.action;
      const turn = this.turns.find((candidate) => candidate.element.contains(event.target));
      if (action === "regenerate") this.#regenerate(turn);
      if (action === "regenerate-with") this.#regenerateWith(turn);
      if (action === "edit") this.#edit(turn);
      if (action === "replay") this.#regenerate(turn, event.target.closest("[data-reply]").dataset.reply);
    });
    offerShortcuts({
      m: () => this.composer.focus(),
      "/": () => this.drawer.search(),
      n: () => location.assign(chat.dataset.new),
      l: () => document.getElementById("drawer-button").click(),
      s: () => this.settings.open(),
      r: () => this.turns.length && this.#regenerate(this.turns.at(-1)),
      o: () => {
        const several = chat.dataset.severalModels === "yes";
        if (several && this.turns.length) this.#regenerateWith(this.turns.at(-1));
      },
      e: () => this.turns.length && this.#edit(this.turns.at(-1)),
      y: () => document.querySelector("#turns .turn:last-of-type [data-reply]:not([hidden]) [data-action=copy]")?.click(),
    });
    document.addEventListener("retitled", ({ detail }) => this.#retitle(detail.conversation, detail.title));
    document.getElementById("start")?.addEventListener("click", (event) => {
      const example = event.target.closest("[data-example]");
      if (example) this.composer.fill(example.dataset.example);
    });
  }

  #resume() {
    this.#follow(this.turns);
  }

  #follow(turns) {
    for (const turn of turns) {
      for (const reply of turn.replies.filter((candidate) => candidate.running)) {
        this.socket.follow(reply.id, { watch: true });
        this.#running = reply;
      }
    }
  }

  #run(reply) {
    this.#running = reply;
    this.#stopping = false;
    this.#showRunning();
  }

  #changed = (reply) => {
    if (reply === this.#running && !reply.running) {
      this.#running = null;
      this.#stopping = false;
      this.composer.withdraw(text("running"));
      this.#showRunning();
    }
    this.following?.contentChanged();
  };

  get #busy() {
    return this.#running !== null || this.#pending.size > 0;
  }

  #showRunning() {
    const label = text(this.#stopping ? "stopping" : "stop");
    this.composer.showRunning(this.#running !== null, { stopping: this.#stopping, label });
    chat.toggleAttribute("data-busy", this.#busy);
  }

  #showStart() {
    const start = document.getElementById("start");
    if (start) start.hidden = this.turns.length > 0;
    if (this.#conversation) return;
    // A page keeps a heading, also between its first message and the title that the site makes of it.
    const title = document.getElementById("title");
    title.textContent = text("untitled");
    title.hidden = this.turns.length === 0;
  }

  #showConnection(state) {
    if (state === "open") {
      this.#connected();
      return;
    }
    this.#disconnection = text({ connecting: "connecting", lost: "reconnecting", offline: "offline" }[state]);
    if (!this.#banner.hidden) this.#showBanner();
    // A connection that is back in a moment is not worth a word.
    else this.#patience ||= setTimeout(() => this.#showBanner(), PATIENCE);
  }

  #showBanner() {
    this.#banner.hidden = false;
    this.#banner.toggleAttribute("data-good", false);
    if (this.#banner.textContent !== this.#disconnection) this.#banner.textContent = this.#disconnection;
  }

  #connected() {
    clearTimeout(this.#patience);
    this.#patience = 0;
    if (!this.#banner.hidden) {
      this.#banner.toggleAttribute("data-good", true);
      this.#banner.textContent = text("connected");
      setTimeout(() => (this.#banner.hidden = this.socket.open), GOOD_NEWS);
    }
    // A stop that went down with the connection.
    if (this.#stopping) this.socket.stop(this.#running.id);
  }

  #reply(id) {
    return this.turns.flatMap((turn) => turn.replies).find((reply) => reply.id === id);
  }
}

// crypto.randomUUID is missing on a site without HTTPS.
function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

new Page();
