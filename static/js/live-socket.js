// A websocket that comes back by itself, repeats wishes that were not answered, notices when the other end has gone
// without a word, and learns what happens in the person's other tabs. What a frame means, its heirs know.

const FIRST_PAUSE = 500; // ms
const LONGEST_PAUSE = 15_000;
const SILENCE = 25_000; // ms after which the site is asked for a sign of life
const ANSWER_WITHIN = 10_000; // ms
const NOT_SIGNED_IN = 4401;
const REFUSED_FRAME = 4400;
const ABNORMAL = 1006; // as browsers call a connection that ended without a word

/** Fires: `frame` (detail: the frame), `state` (detail: "connecting" | "open" | "lost" | "offline"), `refused`,
 *  `signedout`. */
export class LiveSocket extends EventTarget {
  #address;
  #socket = null;
  #attempts = 0;
  #timer = 0;
  #heartbeat = 0;
  #wishes = new Map(); // client_id → frame, until it is answered

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
    socket.addEventListener("message", (message) => {
      this.#hearAgain();
      this.#received(JSON.parse(message.data));
    });
    socket.addEventListener("close", (event) => this.#closed(socket, event.code));
  }

  /** Sends a frame with a `client_id` until it is answered. The server grants each client_id once, so a wish whose
   *  answer was lost with the connection can simply be sent again. */
  ask(frame) {
    this.#wishes.set(frame.client_id, frame);
    this.send(frame);
  }

  send(frame) {
    if (this.open) this.#socket.send(JSON.stringify(frame));
  }

  /** For heirs: frames to be sent on each new connection, before the wishes. */
  greetings() {
    return [];
  }

  /** For heirs: true when the page need not hear of this frame. */
  handled(frame) {
    return false;
  }

  #opened() {
    this.#attempts = 0;
    this.#hearAgain();
    for (const frame of this.greetings()) this.send(frame);
    for (const frame of this.#wishes.values()) this.send(frame);
    this.send({ type: "listen" });
    this.#tell("state", "open");
  }

  // A cable that was pulled, a laptop that slept: the browser may believe for many minutes that the connection stands.
  #hearAgain() {
    clearTimeout(this.#heartbeat);
    this.#heartbeat = setTimeout(() => {
      this.send({ type: "ping" });
      this.#heartbeat = setTimeout(() => this.#abandon(), ANSWER_WITHIN);
    }, SILENCE);
  }

  #received(frame) {
    if (frame.type === "pong") return;
    if (frame.type === "accepted" || frame.type === "error") this.#wishes.delete(frame.client_id);
    if (!this.handled(frame)) this.#tell("frame", frame);
  }

  #closed(socket, code) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    clearTimeout(this.#heartbeat);
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
