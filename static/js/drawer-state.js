// Runs before the first paint: whether the conversation list was put away when this browser last showed the page.
try {
  if (localStorage.getItem("drawer") === "closed") document.documentElement.dataset.drawer = "closed";
} catch {
  // storage is forbidden in this browser: the list is shown
}
