// Runs before the first paint (a blocking script in <head>), so that a page never flashes in the wrong theme.
// The key and its values ("auto", "light", "dark") are the Django admin's own, so one choice holds for both.
(() => {
  const themes = ["auto", "light", "dark"];

  function stored() {
    try {
      const theme = localStorage.getItem("theme");
      return themes.includes(theme) ? theme : "auto";
    } catch {
      return "auto"; // storage is forbidden in this browser: follow the system
    }
  }

  function apply(theme) {
    document.documentElement.dataset.theme = theme;
    for (const input of document.querySelectorAll("[data-theme-choice]")) {
      input.checked = input.value === theme;
    }
  }

  apply(stored());
  document.addEventListener("DOMContentLoaded", () => apply(stored()));
  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-theme-choice]")) return;
    try {
      localStorage.setItem("theme", event.target.value);
    } catch {
      // holds for this page only
    }
    apply(event.target.value);
  });
  window.addEventListener("storage", (event) => {
    if (event.key === "theme") apply(stored());
  });
})();
