// The list of conversations: a column on a wide screen that can be put away, a drawer over the page on a narrow one.

const narrow = matchMedia("(max-width: 52rem)");
const root = document.documentElement;

export class Drawer {
  #button = document.getElementById("drawer-button");
  #sidebar = document.getElementById("sidebar");
  #veil = document.getElementById("veil");
  #behind = [document.getElementById("content"), document.querySelector(".bar")];

  constructor() {
    this.#button.addEventListener("click", () => this.#toggle());
    this.#veil.addEventListener("click", () => this.#closeOver());
    this.#sidebar.addEventListener("click", (event) => {
      if (event.target.closest("[data-action=close-drawer]")) this.#closeOver();
    });
    this.#sidebar.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.defaultPrevented) this.#closeOver();
    });
    narrow.addEventListener("change", () => {
      this.#set(this.#stored());
    });
    this.#set(this.#stored());
  }

  /** Opens the list, if it is away, and goes to its search. */
  search() {
    if (narrow.matches) this.#set("over");
    else if (root.dataset.drawer === "closed") this.#toggle();
    document.getElementById("search").focus();
  }

  get #over() {
    return root.dataset.drawer === "over";
  }

  #toggle() {
    if (narrow.matches) {
      this.#set("over");
      this.#sidebar.querySelector("[data-action=close-drawer]").focus();
      return;
    }
    const state = root.dataset.drawer === "closed" ? "open" : "closed";
    this.#set(state);
    try {
      localStorage.setItem("drawer", state);
    } catch {
      // holds for this page only
    }
  }

  #closeOver() {
    if (!this.#over) return;
    this.#set(this.#stored());
    this.#button.focus();
  }

  #set(state) {
    root.dataset.drawer = state;
    const over = state === "over";
    this.#veil.hidden = !over;
    for (const element of this.#behind) element.inert = over;
    this.#button.setAttribute("aria-expanded", String(narrow.matches ? over : state !== "closed"));
  }

  #stored() {
    try {
      return localStorage.getItem("drawer") ?? "open";
    } catch {
      return "open";
    }
  }
}
