// The connection to /ws/chat/ (docs/design/chat-socket.md). After a break it asks again for every answer that has not
// ended behind the last event it has seen, and hands each event on once.

import { LiveSocket } from "../live-socket.js";

const WATCH_AGAIN = 3000; // ms

export class ChatSocket extends LiveSocket {
  #followed = new Map(); // reply id → { after, seen }

  stop(reply) {
    this.send({ type: "stop", reply });
  }

  /** Hand on this reply's events. `watch`: nobody sends them yet, so ask. */
  follow(reply, { watch }) {
    this.#followed.set(reply, { after: "", seen: new Set() });
    if (watch) this.#watch(reply);
  }

  unfollow(reply) {
    this.#followed.delete(reply);
  }

  greetings() {
    return [...this.#followed].map(([reply, { after }]) => ({ type: "watch", reply, after }));
  }

  handled(frame) {
    if (frame.type === "event") return this.#seenBefore(frame);
    if (frame.type !== "error" || frame.code !== "unavailable" || !this.#followed.has(frame.reply)) return false;
    setTimeout(() => this.#watch(frame.reply), WATCH_AGAIN);
    return true;
  }

  #seenBefore({ reply, seq, event }) {
    const followed = this.#followed.get(reply);
    if (!followed || followed.seen.has(seq)) return true;
    followed.seen.add(seq);
    followed.after = seq;
    if (event.type === "finished" || event.type === "failed") this.unfollow(reply);
    return false;
  }

  #watch(reply) {
    const followed = this.#followed.get(reply);
    if (followed) this.send({ type: "watch", reply, after: followed.after });
  }
}
