// The connection to /ws/arena/ (docs/design/battle-socket.md). It comes back by itself, repeats wishes that were not
// answered, and asks for the rest of a turn that has not ended.

const FIRST_PAUSE = 500; // ms
const LONGEST_PAUSE = 15_000;
const WATCH_AGAIN = 3000;
const NOT_SIGNED_IN = 4401;
const REFUSED_FRAME = 4400;

/** Fires `frame` (detail: the frame), `state` (detail: "connecting" | "open" | "lost"), `refused`, `signedout`. */
export class ArenaSocket extends EventTarget {
  #address;
  #progress;
  #socket = null;
  #attempts = 0;
  #timer = 0;
  #wishes = new Map(); // client_id → frame

  /** @param progress returns the `watch` frame for the turn that has not ended, or null */
  constructor(path, progress) {
    super();
    this.#address = new URL(path, location.href);
    this.#address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    this.#progress = progress;
    window.addEventListener("online", () => this.#hurry());
    window.addEventListener("pagehide", () => this.#socket?.close());
    window.addEventListener("pageshow", (event) => event.persisted && this.#hurry());
  }

  connect() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#tell("state", this.#attempts ? "lost" : "connecting");
    const socket = new WebSocket(this.#address);
    this.#socket = socket;
    socket.addEventListener("open", () => this.#opened());
    socket.addEventListener("message", (message) => this.#received(JSON.parse(message.data)));
    socket.addEventListener("close", (event) => this.#closed(socket, event.code));
  }

  /** Sends a frame until it is answered; the server grants each client_id once. */
  ask(frame) {
    this.#wishes.set(frame.client_id, frame);
    this.send(frame);
  }

  send(frame) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }

  #opened() {
    this.#attempts = 0;
    const watch = this.#progress();
    if (watch) this.send(watch);
    for (const frame of this.#wishes.values()) this.send(frame);
    this.#tell("state", "open");
  }

  #received(frame) {
    if (frame.type === "accepted" || frame.type === "error") this.#wishes.delete(frame.client_id);
    if (frame.type === "error" && frame.code === "unavailable" && frame.reply) {
      setTimeout(() => {
        const watch = this.#progress();
        if (watch) this.send(watch);
      }, WATCH_AGAIN);
      return;
    }
    this.#tell("frame", frame);
  }

  #closed(socket, code) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    if (code === NOT_SIGNED_IN) {
      this.#tell("signedout");
      return;
    }
    if (code === REFUSED_FRAME) {
      this.#wishes.clear();
      this.#tell("refused");
    }
    this.#tell("state", "lost");
    const pause = Math.min(FIRST_PAUSE * 2 ** this.#attempts, LONGEST_PAUSE) * (0.75 + Math.random() / 2);
    this.#attempts += 1;
    this.#timer = setTimeout(() => this.connect(), pause);
  }

  #hurry() {
    if (this.#socket || !navigator.onLine) return;
    this.#attempts = Math.min(this.#attempts, 1);
    this.connect();
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
