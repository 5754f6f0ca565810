"use strict";
// The page is whole without this: it finds, sorts, and opens what a link points to.
const every = (what, root = document) => [...root.querySelectorAll(what)];
const find = document.getElementById("find"), failed = document.getElementById("failed");

function filter() {
  const wanted = find.value.trim().toLowerCase();
  for (const one of every("[data-n]")) {
    const off = !one.dataset.n.toLowerCase().includes(wanted) || (failed?.checked && !one.classList.contains("failed"));
    one.hidden = off;
    if (one.nextElementSibling?.classList.contains("why")) one.nextElementSibling.hidden = off;
  }
  for (const body of every("table.main tbody")) body.hidden = !body.querySelector("tr.row:not([hidden])");
}
document.querySelector(".tools").hidden = false;
document.querySelector(".tools").addEventListener("submit", event => event.preventDefault());
find.addEventListener("input", filter);
failed?.addEventListener("change", filter);

every("table.main thead th").forEach((head, column, all) => {
  if (head.classList.contains("sparkcell")) return;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = head.textContent;
  head.replaceChildren(button);
  button.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") === (column ? "descending" : "ascending");
    all.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up === !column ? "descending" : "ascending");
    const sign = head.getAttribute("aria-sort") === "ascending" ? 1 : -1;
    const value = row => column ? Number.parseFloat(row.cells[column].dataset.v?.replace("inf", "Infinity")) : row.dataset.n.toLowerCase();
    for (const body of every("table.main tbody")) {
      const rows = every("tr.row", body).map(row => [value(row), row, row.nextElementSibling]);
      const missing = v => Number.isNaN(v);
      rows.sort(([a], [b]) => missing(a) || missing(b) ? missing(a) - missing(b) : sign * (a < b ? -1 : a > b ? 1 : 0));
      for (const [, row, next] of rows) body.append(row, ...(next?.classList.contains("why") ? [next] : []));
    }
  });
});

function open() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const part = target?.closest("details");
  if (part) { part.open = true; part.scrollIntoView(); }
}
addEventListener("hashchange", open);
open();
