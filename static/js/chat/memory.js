// What a person has typed and not sent yet, kept for this tab. A browser without storage forgets it on a reload.

export function remember(key, value) {
  try {
    if (value === "" || value == null) sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, value);
  } catch {
    // full or forbidden
  }
}

export function recall(key) {
  try {
    return sessionStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}
