"use strict";

// Light and dark: the system's choice until the reader makes one, which this browser then remembers where it may.
const theme = document.getElementById("theme");
const remembered = { get: () => { try { return localStorage.getItem("theme"); } catch { return null; } },
  set: (value) => { try { localStorage.setItem("theme", value); } catch { /* private window: forget it */ } } };
const apply = (value) => { if (value) document.documentElement.style.colorScheme = value; };
apply(remembered.get());
theme.addEventListener("click", () => {
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const now = document.documentElement.style.colorScheme || system;
  const next = now === "dark" ? "light" : "dark";
  apply(next);
  remembered.set(next);
});

// Sorting: up, down, and back to the paper's order. Cells without a value stay last; groups of rows stay together.
const NEXT = { none: "ascending", ascending: "descending", descending: "none" };

function compare(a, b, column, sign) {
  const [x, y] = [a, b].map((row) => row.cells[column].dataset.sort);
  if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
  const numeric = Number(x) - Number(y);
  return sign * (Number.isNaN(numeric) ? x.localeCompare(y, "en") : numeric);
}

function sortBy(table, header) {
  const column = Number(header.dataset.column);
  const order = NEXT[header.getAttribute("aria-sort")];
  for (const each of table.tHead.querySelectorAll("th[aria-sort]")) each.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", order);
  for (const body of table.tBodies) {
    const rows = [...body.rows].filter((row) => !row.classList.contains("group"));
    rows.forEach((row, place) => { row.dataset.place ??= place; });
    rows.sort((a, b) => (order === "none" ? 0 : compare(a, b, column, order === "ascending" ? 1 : -1)) || a.dataset.place - b.dataset.place);
    body.append(...rows);
  }
  const words = header.textContent.trim();
  document.getElementById("announcer").textContent = order === "none" ? "order of the paper" : `sorted by ${words}, ${order}`;
}

for (const table of document.querySelectorAll("table.sortable")) {
  table.tHead.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) sortBy(table, button.closest("th"));
  });
}

// A link to something inside a folded part opens it.
function unfold() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const fold = target?.closest("details");
  if (fold) { fold.open = true; target.scrollIntoView(); }
}
addEventListener("hashchange", unfold);
document.addEventListener("click", (event) => { if (event.target.closest("a[href^='#']")) setTimeout(unfold); });
unfold();
