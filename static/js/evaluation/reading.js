// Reading an evaluation: filters of the question list, answers to hide, arrow keys from question to question.
// A plain script and not a module: the static report is opened from file://, where browsers load no modules.
(() => {
  function filterRows(form) {
    const table = document.querySelector("[data-filtered]");
    const count = document.querySelector("[data-filter-count]");
    if (!table || !count) return;
    const rows = [...table.tBodies[0].rows];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const has = (list, word) => list.split(" ").includes(word);

    function apply() {
      const wish = Object.fromEntries(new FormData(form));
      const words = wish.text.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, index) => {
        const fits =
          (!wish.category || row.dataset.category === wish.category) &&
          (!wish.flag || has(row.dataset.flags, wish.flag)) &&
          (!wish.winner || has(row.dataset.winners, wish.winner)) &&
          words.every((word) => texts[index].includes(word));
        row.hidden = !fits;
        if (fits) shown += 1;
      });
      count.textContent = `${shown} ${count.dataset.of} ${rows.length}`;
    }

    form.hidden = false;
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    // A browser that goes back restores the fields, so the rows must follow.
    window.addEventListener("pageshow", apply);
  }

  function pickAnswers(picker) {
    const boxes = [...picker.querySelectorAll("input")];

    function apply() {
      const chosen = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
      for (const answer of document.querySelectorAll(".answer[data-model]")) {
        answer.hidden = !chosen.has(answer.dataset.model);
      }
      for (const verdict of document.querySelectorAll(".verdict[data-models]")) {
        verdict.hidden = !verdict.dataset.models.split(" ").every((model) => chosen.has(model));
      }
    }

    picker.hidden = false;
    picker.addEventListener("change", apply);
    window.addEventListener("pageshow", apply);
  }

  function listenToKeys() {
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
      if (event.target.closest("input, select, textarea, [tabindex]:not(main), details")) return;
      document.querySelector(`[data-key="${CSS.escape(event.key)}"]`)?.click();
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    const form = document.querySelector("[data-filters]");
    if (form) filterRows(form);
    const picker = document.querySelector("[data-pick]");
    if (picker) pickAnswers(picker);
    listenToKeys();
  });
})();
