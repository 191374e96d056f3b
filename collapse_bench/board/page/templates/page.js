"use strict";
(function () {
  const table = document.getElementById("rows");
  if (table) board();

  function board() {
    const body = table.tBodies[0];
    const rows = Array.from(body.rows);
    const form = document.querySelector(".filters");
    const count = document.getElementById("f-count");

    // sorting: numbers fall first, texts rise first, and what is not known comes last
    function sortBy(cell) {
      const key = cell.dataset.key;
      const text = key === "name" || key === "track";
      const was = cell.getAttribute("aria-sort");
      const up = was ? was === "descending" : text || key === "tier" || key === "ranks";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => (text ? row.dataset[key] : parseFloat(row.dataset[key]));
      rows.sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (text) return up ? x.localeCompare(y) : y.localeCompare(x);
        if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
        return up ? x - y : y - x;
      });
      body.append(...rows);
    }
    for (const cell of table.tHead.rows[0].cells) {
      if (!cell.dataset.key) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...cell.childNodes);
      button.addEventListener("click", () => sortBy(cell));
      cell.append(button);
    }

    // filters
    const field = (name) => document.getElementById("f-" + name).value;
    function filter() {
      const text = field("text").trim().toLowerCase();
      const share = parseFloat(field("covers"));
      let shown = 0;
      for (const row of rows) {
        const data = row.dataset;
        const has = (name) => !field(name) || data[name].split(" ").includes(field(name));
        const good = (!text || data.name.toLowerCase().includes(text)) &&
          (!field("track") || data.track === field("track")) &&
          (!field("kind") || data.kind === field("kind") || (field("kind") === "main" && "main" in data)) &&
          has("families") && has("protocols") && has("stages") &&
          (Number.isNaN(share) || parseFloat(data.share) >= share);
        row.hidden = !good;
        shown += good;
      }
      count.textContent = shown + " of " + rows.length + " rows";
    }
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(filter));
    form.hidden = false;
    filter();
  }

  // a link into a closed section opens it
  function open() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const around = target && target.closest("details");
    if (around) {
      around.open = true;
      target.scrollIntoView();
    }
  }
  addEventListener("hashchange", open);
  open();
})();
