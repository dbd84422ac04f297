// Keeps the newest text in view, until the reader scrolls up; then offers the way back.

const NEAR = 64; // px from the end that still count as "at the end"

export class Following {
  #area;
  #button;
  #following = true;
  #lastTop = 0;

  constructor(area, button) {
    this.#area = area;
    this.#button = button;
    area.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    button.addEventListener("click", () => {
      this.toEnd();
      document.getElementById("transcript").focus({ preventScroll: true });
    });
    // A rotated phone, an opened keyboard or a growing composer must not hide the last line.
    const sizes = new ResizeObserver(() => this.contentChanged());
    for (const element of [area, ...area.children]) sizes.observe(element);
  }

  /** Call after the content has grown. */
  contentChanged() {
    if (this.#following) this.#area.scrollTop = this.#area.scrollHeight;
    this.#lastTop = this.#area.scrollTop;
    this.#showButton();
  }

  toEnd() {
    this.#following = true;
    this.contentChanged();
  }

  get #distance() {
    return this.#area.scrollHeight - this.#area.clientHeight - this.#area.scrollTop;
  }

  #scrolled() {
    const top = this.#area.scrollTop;
    if (this.#distance <= NEAR) this.#following = true;
    else if (top < this.#lastTop - 1) this.#following = false;
    this.#lastTop = top;
    this.#showButton();
  }

  #showButton() {
    this.#button.hidden = this.#following || this.#distance <= NEAR;
  }
}
