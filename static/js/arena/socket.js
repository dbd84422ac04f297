// The connection to /ws/arena/ (docs/design/battle-socket.md). After a break it asks for the rest of a turn that has not
// ended.

import { LiveSocket } from "../live-socket.js";

const WATCH_AGAIN = 3000; // ms

export class ArenaSocket extends LiveSocket {
  #progress;

  /** @param progress returns the `watch` frame for the turn that has not ended, or null */
  constructor(path, progress) {
    super(path);
    this.#progress = progress;
  }

  greetings() {
    const watch = this.#progress();
    return watch ? [watch] : [];
  }

  handled(frame) {
    if (frame.type !== "error" || frame.code !== "unavailable" || !frame.reply) return false;
    setTimeout(() => this.greetings().forEach((watch) => this.send(watch)), WATCH_AGAIN);
    return true;
  }
}
