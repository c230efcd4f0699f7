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
    const button = event.target.closest("button:not(.group)");
    if (button) sortBy(table, button.closest("th"));
  });
}

// Columns of one group fold into the one that matters: what was measured, else the last.
document.addEventListener("click", (event) => {
  const button = event.target.closest("button.group");
  if (!button) return;
  const heading = button.closest("th"), table = heading.closest("table");
  const columns = heading.dataset.columns.split(" ").map(Number);
  const titles = columns.map((each) => table.tHead.querySelector(`th[data-column="${each}"]`));
  const kept = Math.max(titles.findIndex((each) => each.textContent.trim().startsWith("measured")), 0);
  const fold = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!fold));
  heading.colSpan = fold ? 1 : columns.length;
  columns.forEach((column, place) => {
    if (place === kept) return;
    titles[place].hidden = fold;
    for (const body of table.tBodies) for (const row of body.rows) if (!row.classList.contains("group")) row.cells[column].hidden = fold;
  });
});

// Rows that nothing was measured of are hidden until the reader asks for them; a search shows rows that have its words.
const root = document.documentElement;
const only = document.getElementById("measured-only"), search = document.getElementById("search");

function narrow() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let number = 0;
  for (const table of document.querySelectorAll("div.table")) {
    let found = 0;
    for (const row of table.querySelectorAll("tbody tr:not(.group)")) {
      const text = row.cells[0].textContent.toLowerCase();
      const shown = words.every((word) => text.includes(word));
      row.classList.toggle("filtered", !shown);
      found += shown && !(only.checked && row.classList.contains("unmeasured"));
    }
    table.classList.toggle("filtered", words.length > 0 && found === 0);
    number += found;
  }
  if (words.length) document.getElementById("announcer").textContent = `${number} rows with ${words.join(" ")}`;
}

if (only) {
  const apply = () => { root.classList.toggle("measured-only", only.checked); narrow(); };
  only.addEventListener("change", apply);
  search.addEventListener("input", narrow);
  apply();
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
