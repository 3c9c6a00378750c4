"use strict";
// The table: sorted, filtered, with what papers print below the rows, and every number a button that says where it is from.
FB.table = (() => {
  const { el, select, check, byId, model } = FB;
  const state = FB.state;
  const ARROWS = { true: "↑", false: "↓" };
  const WAYS = { true: "more is better", false: "less is better" };

  function draw() {
    const view = byId("view-table");
    const open = [...view.querySelectorAll("details[open]")].map((d) => d.id);
    const focus = document.activeElement && view.contains(document.activeElement) ? document.activeElement.id : "";
    const scroll = view.querySelector(".scroller") ? view.querySelector(".scroller").scrollLeft : 0;
    view.replaceChildren(...[caption(), conflicts(), filters(), board(), below()].filter(Boolean));
    open.forEach((id) => { if (id && byId(id)) byId(id).open = true; });
    view.querySelector(".scroller").scrollLeft = scroll;
    if (focus && byId(focus)) byId(focus).focus({ preventScroll: true });
  }

  function caption() {
    const head = model.head();
    const chips = [
      `split ${head.split}`,
      `${FB.choosers.count(head)} pairs`,
      head.protocol,
      head.generated ? "generated images" : "",
      head.expected !== null && head.images < head.expected ? "a part of the split" : "",
    ].filter(Boolean);
    return el("div", { class: "caption" },
      el("h2", null, head.title),
      el("ul", { class: "chips", "aria-label": "Facts of this table" }, chips.map((t) => el("li", { class: t === "a part of the split" ? "part" : null }, t))),
      el("p", { class: "fine" }, model.table().caption));
  }

  function conflicts() {
    const lines = model.table().conflicts;
    if (!lines.length) return null;
    return el("details", { class: "warn", id: "conflicts" },
      el("summary", null, `${lines.length} ${lines.length === 1 ? "disagreement" : "disagreements"} between what this table is made of`),
      el("ul", null, lines.map((line) => el("li", null, line))));
  }

  function redraw() { draw(); FB.say(`${model.rows().length} rows`); }

  function filters() {
    const rows = model.table().rows;
    const f = state.filters;
    const families = [...new Set(rows.map((r) => model.method(r).family).filter(Boolean))].sort();
    const learnt = [...new Set(rows.flatMap(model.learntOf))].sort();
    const set = (name) => (value) => { f[name] = value; redraw(); };
    const year = (id, text, name) => el("label", { class: "field year" }, el("span", null, text),
      el("input", { type: "number", id, min: 1980, max: 2100, step: 1, placeholder: "any", value: f[name], onchange: (e) => set(name)(e.target.value) }));
    const search = el("input", { type: "search", id: "search", placeholder: "name or venue", value: f.text });
    search.addEventListener("input", () => { f.text = search.value; redraw(); const s = byId("search"); s.focus(); s.setSelectionRange(s.value.length, s.value.length); });
    const fewer = el("button", { type: "button", id: "filters", class: "fewer", "aria-expanded": String(state.filtersOpen), "aria-controls": "more-filters",
      onclick: () => { state.filtersOpen = !state.filtersOpen; draw(); } }, state.filtersOpen ? "Fewer filters" : "Filters");
    return el("div", { class: "bar" },
      el("label", { class: "field" }, el("span", null, "Find"), search), fewer,
      el("div", { class: state.filtersOpen ? "bar inner open" : "bar inner", id: "more-filters" },
      select("Family", [["", "all"], ...families.map((x) => [x, x])], families.includes(f.family) ? f.family : "", set("family"), { id: "family" }),
      year("from", "Year from", "from"), year("to", "to", "to"),
      select("Trained on", [["", "anything"], ...learnt.map((x) => [x, x])], learnt.includes(f.learnt) ? f.learnt : "", set("learnt"), { id: "learnt" })),
      el("div", { class: "checks" },
        check("intervals", state.intervals, (on) => { state.intervals = on; redraw(); }, { id: "intervals" }),
        check("printed values", state.printed, (on) => { state.printed = on; redraw(); }, { id: "printed" }),
        check("unranked rows", f.unranked, set("unranked"), { id: "unranked" })),
      columnMenu(), FB.exports.menu());
  }

  function columnMenu() {
    const set = (c) => (on) => {
      if (c.first) state.hidden[on ? "delete" : "add"](c.key);
      else state.added[on ? "add" : "delete"](c.key);
      redraw();
    };
    const text = (c) => (c.variant ? `${c.name} @ ${c.variant}` : c.name);
    const boxes = model.columns().map((c, n) => check(text(c), model.isShown(c), set(c), { id: `column-${n}` }));
    const rest = model.head().more.filter((id) => !state.further.has(id));
    const request = el("button", { type: "button", id: "further", onclick: () => {
      model.loadFurther().then(redraw).catch((error) => FB.say(error.message));
    } }, `Load ${rest.length} further columns`);
    return el("details", { class: "menu", id: "columns" }, el("summary", null, "Columns"),
      el("div", { class: "sheet" }, rest.length ? request : null, boxes));
  }

  function headCell(c) {
    const sorted = state.sort && state.sort.key === c.key ? (state.sort.up ? "ascending" : "descending") : "none";
    const directed = c.kind !== "fact" && c.kind !== "name";
    const direction = directed ? ARROWS[c.up] : "";
    const hint = [c.name, c.variant, directed ? WAYS[c.up] : ""].filter(Boolean).join(", ");
    return el("th", { scope: "col", "aria-sort": sorted, class: c.key === "name" ? "name" : c.kind },
      el("button", { type: "button", id: `sort-${c.key}`, title: `${hint}; sort`, onclick: () => {
        model.sortBy(c.key);
        FB.choosers.remember();
        draw();
        FB.say(state.sort ? `sorted by ${c.name}, ${state.sort.up ? "ascending" : "descending"}` : "in the table's own order");
      } },
      el("span", { class: "head" }, c.name, direction ? el("span", { class: "arrow", "aria-label": WAYS[c.up] }, direction) : null),
      c.variant ? el("small", null, (c.kind === "metric" ? "@" : "") + c.variant) : null));
  }

  const STATES = { none: "○", confirmed: "✓", disputed: "!", withdrawn: "✕" };

  function nameCell(row) {
    const m = model.method(row);
    const head = model.head();
    const badges = [];
    if (row.reason) badges.push(el("span", { class: "badge", title: row.reason }, "not ranked"));
    if (row.learnt.includes(head.title)) badges.push(el("span", { class: "badge part", title: `trained on: ${row.trained_on}` }, `trained on ${head.title}`));
    const said = row.confirmed;
    const facts = [m.title !== row.id ? m.title : "", m.family === "source" ? "" : m.family, m.year].filter(Boolean).join(" · ");
    return el("th", { scope: "row", class: "name" },
      el("span", { class: "swatch", style: { background: m.colour }, "aria-hidden": "true" }),
      el("span", { class: "who" },
        el("button", { type: "button", class: "link", title: row.reason || row.id, onclick: () => FB.details.open(row, null) }, row.id),
        el("span", { class: `said is-${said.state}`, role: "img", "aria-label": said.words, title: said.words }, STATES[said.state]),
        el("small", null, facts, badges.length ? " " : null, badges)));
  }

  function placeOf(row) {
    const p = row.place;
    if (!p) return null;
    const text = p.first === p.last ? `place ${p.first}` : `place ${p.first}–${p.last}`;
    const title = p.letters ? `tie groups ${p.letters}: cannot be told apart from others of them` : "told apart from every other row";
    return el("small", { title }, text, p.letters ? el("span", { class: "letters" }, ` ${p.letters}`) : null);
  }

  function cell(row, c, r, n) {
    if (c.kind === "fact") return el("td", { class: "fact" }, c.text(row));
    if (c.kind === "rank") return el("td", { class: "rank" }, el("span", null, row.rank_text), placeOf(row));
    const found = c.cell(row);
    if (!found) return el("td", null, "–");
    const place = found[4];
    const bounds = state.intervals && found.length > 5
      ? el("small", { class: "interval" }, `${FB.fixed(found[5], c.digits)} – ${FB.fixed(found[6], c.digits)}`) : null;
    const text = c.kind === "task" ? found[3].split(" ± ")[0] : found[3];
    return el("td", { class: ["", "best", "second"][place] || null },
      el("button", { type: "button", class: "number", tabindex: r === 0 && n === 0 ? "0" : "-1", "data-r": r, "data-n": n,
        "aria-label": `${text}, ${c.name} of ${row.id}${place ? `, ${place === 1 ? "best" : "second"}` : ""}`,
        onclick: () => FB.details.open(row, c) }, text),
      bounds);
  }

  function printedRows(row, columns) {
    if (!state.printed) return [];
    const found = model.table().printed.lines.find((line) => line[0] === row.id);
    return (found ? found[1] : []).map(([source, cells]) => {
      const texts = new Map(cells);
      if (!columns.some((c) => texts.get(c.key))) return null;
      return el("tr", { class: "print" },
        el("th", { scope: "row", class: "name" }, el("span", { class: "who" }, el("small", null, `in print [${source}], not ranked`))),
        columns.map((c) => el("td", null, (texts.get(c.key) || "").split(" / ").map((t) => el("span", { class: "printed" }, t)))));
    });
  }

  function board() {
    const columns = model.shownColumns();
    const rows = model.rows();
    const numbers = columns.filter((c) => c.kind === "metric" || c.kind === "task");
    const head = el("thead", null, el("tr", null,
      headCell({ key: "name", kind: "name", name: "Method", variant: "", up: false }), columns.map(headCell)));
    const body = el("tbody", null, rows.map((row, r) => [
      el("tr", { class: row.reason ? "unranked" : null, "data-entry": row.id }, nameCell(row), columns.map((c) => cell(row, c, r, numbers.indexOf(c)))),
      ...printedRows(row, columns)]));
    body.addEventListener("keydown", walk);
    const table = el("table", { id: "board" },
      el("caption", { class: "unseen" }, `${model.head().title}, ${FB.choosers.count(model.head())} pairs; every number is a button that says where it comes from; arrow keys walk over the numbers`),
      head, body);
    const none = rows.length ? null : el("p", { class: "none" }, "No row passes these filters.");
    return el("div", { class: "scroller", role: "region", tabindex: "0", "aria-label": "The table; it can be scrolled sideways" }, table, none);
  }

  // Arrow keys go from number to number; Tab leaves the table.
  function walk(event) {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    const from = event.target.dataset;
    if (!step || from.r === undefined) return;
    const next = event.currentTarget.querySelector(`[data-r="${Number(from.r) + step[0]}"][data-n="${Number(from.n) + step[1]}"]`);
    event.preventDefault();
    if (!next) return;
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  function below() {
    const t = model.table();
    const ties = t.ties.why ? `Tie groups: none here; ${t.ties.why}.` : t.ties.note;
    const marks = "Bold: the best of a column as it is printed; underlined: the second; what is printed alike shares a mark. Source rows and unranked rows take no part.";
    const authors = "○ not confirmed by its authors, ✓ confirmed, ! disputed, ✕ withdrawn.";
    const none = state.intervals && !t.rows.some((row) => [...row.cells.map((c) => c.length > 5), ...row.tasks.map((c) => c[1] !== null)].includes(true));
    const notes = [none ? "No intervals are stored with this table." : "", marks, ties, authors, ...t.notes].filter(Boolean);
    const printed = t.printed;
    return el("div", { class: "notes" },
      el("ul", null, el("li", { class: "wide-above" }, t.caption), notes.map((n) => el("li", null, n))),
      state.printed ? el("div", { id: "sources" }, el("h3", null, "In print"),
        el("ul", null, [...printed.notes, ...printed.sources].map((n) => el("li", null, n)))) : null);
  }

  FB.views.table = { draw };
  return { draw };
})();
