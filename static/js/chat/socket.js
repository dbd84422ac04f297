// The connection to /ws/chat/ (docs/design/chat-socket.md). It comes back by itself, asks again for every answer that
// has not ended behind the last event it has seen, and hands each event on once.

const FIRST_PAUSE = 500; // ms
const LONGEST_PAUSE = 15_000;
const WATCH_AGAIN = 3000;
const NOT_SIGNED_IN = 4401;
const REFUSED_FRAME = 4400;
const ABNORMAL = 1006; // as browsers call a connection that ended without a word

/** Fires: `frame` (detail: the frame), `state` (detail: "connecting" | "open" | "lost" | "offline"), `refused`,
 *  `signedout`. */
export class ChatSocket extends EventTarget {
  #address;
  #socket = null;
  #attempts = 0;
  #timer = 0;
  #wishes = new Map(); // client_id → frame, until it is answered
  #followed = new Map(); // reply id → { after, seen }

  constructor(path) {
    super();
    this.#address = new URL(path, location.href);
    this.#address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    window.addEventListener("online", () => this.#hurry());
    window.addEventListener("offline", () => this.#abandon());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.#hurry());
    // A page in the back/forward cache must not hold a connection.
    window.addEventListener("pagehide", () => this.#socket?.close());
    window.addEventListener("pageshow", (event) => event.persisted && this.#hurry());
  }

  get open() {
    return this.#socket?.readyState === WebSocket.OPEN;
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

  /** Sends a frame with a `client_id` until it is answered. The server grants each client_id once, so a wish whose
   *  answer was lost with the connection can simply be sent again. */
  ask(frame) {
    this.#wishes.set(frame.client_id, frame);
    this.#send(frame);
  }

  stop(reply) {
    this.#send({ type: "stop", reply });
  }

  /** Hand on this reply's events. `watch`: nobody sends them yet, so ask. */
  follow(reply, { watch }) {
    this.#followed.set(reply, { after: "", seen: new Set() });
    if (watch) this.#watch(reply);
  }

  unfollow(reply) {
    this.#followed.delete(reply);
  }

  #watch(reply) {
    const followed = this.#followed.get(reply);
    if (followed) this.#send({ type: "watch", reply, after: followed.after });
  }

  #send(frame) {
    if (this.open) this.#socket.send(JSON.stringify(frame));
  }

  #opened() {
    this.#attempts = 0;
    for (const reply of this.#followed.keys()) this.#watch(reply);
    for (const frame of this.#wishes.values()) this.#send(frame);
    this.#tell("state", "open");
  }

  #received(frame) {
    if (frame.type === "event") {
      const followed = this.#followed.get(frame.reply);
      if (!followed || followed.seen.has(frame.seq)) return;
      followed.seen.add(frame.seq);
      followed.after = frame.seq;
      if (frame.event.type === "finished" || frame.event.type === "failed") this.unfollow(frame.reply);
    }
    if (frame.type === "accepted" || frame.type === "error") this.#wishes.delete(frame.client_id);
    if (frame.type === "error" && frame.code === "unavailable" && this.#followed.has(frame.reply)) {
      setTimeout(() => this.#watch(frame.reply), WATCH_AGAIN);
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
      // Sent again it would be refused again.
      this.#wishes.clear();
      this.#tell("refused");
    }
    this.#tell("state", navigator.onLine ? "lost" : "offline");
    // Many pages lose the same server at once; chance keeps them from all coming back at once.
    const pause = Math.min(FIRST_PAUSE * 2 ** this.#attempts, LONGEST_PAUSE) * (0.75 + Math.random() / 2);
    this.#attempts += 1;
    this.#timer = setTimeout(() => this.connect(), pause);
  }

  // Without a network nobody answers the closing handshake, and browsers wait a minute for it before they say "close".
  #abandon() {
    const socket = this.#socket;
    if (!socket) return;
    socket.close();
    this.#closed(socket, ABNORMAL);
  }

  #hurry() {
    if (!this.#socket && navigator.onLine) {
      this.#attempts = Math.min(this.#attempts, 1);
      this.connect();
    }
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
