"use strict";
// What is chosen, and the rows and columns that follow from it.
FB.index = FB.get("index");
FB.methods = new Map(FB.index.methods.map((m) => [m.name, m]));
FB.metrics = new Map(FB.index.metrics.map((m) => [m.id, m]));

FB.state = {
  table: -1,          // number of the table
  task: "",           // "" for fusion metrics
  sort: null,         // {key, up}; null: as the table is ordered
  hidden: new Set(),  // keys of columns that the user hid
  added: new Set(),   // and of those that are hidden at first
  further: new Map(), // metric id -> Map(row id -> cell), of columns loaded on request
  filters: { text: "", family: "", from: "", to: "", learnt: "", unranked: true },
  filtersOpen: false, // where the page is narrow
  intervals: false,
  printed: false,
  view: "table",
};

FB.model = (() => {
  const state = FB.state;
  const head = () => FB.index.tables[state.table];
  const table = () => FB.get(`table-${state.table}`);
  const method = (row) => FB.methods.get(row.method) || { title: row.id, colour: "#888", family: "", year: null, urls: [] };

  // The name in the table: the entry's id, as in every other table of ours.
  const label = (row) => row.id;

  function learntOf(row) {
    if (row.learnt.length) return row.learnt;
    return row.trained_on ? ["other, or not stated"] : ["nothing: no weights"];
  }

  function metricColumn(id, number) {
    const m = FB.metrics.get(id);
    return {
      key: id, kind: "metric", name: m.name, variant: m.variant, up: m.up, digits: m.digits, first: state.task === "",
      cell: (row) => row.cells[number],
    };
  }
  function furtherColumn(id) {
    const m = FB.metrics.get(id);
    const cells = state.further.get(id);
    return {
      key: id, kind: "metric", name: m.name, variant: m.variant, up: m.up, digits: m.digits, first: false, further: true,
      cell: (row) => cells.get(row.id),
    };
  }
  function taskColumn(t, number) {
    const short = t.score.split("@");
    const split = t.split && t.split !== head().split ? `, ${t.split}` : "";
    return {
      key: t.id, kind: "task", name: short[0], variant: t.network ? `${t.network} ${t.training}${split}` : short[1] || "", up: t.up, digits: 4,
      first: state.task === t.task && t.network !== "", task: t,
      cell: (row) => {
        const [mean, half, text, place, seeds] = row.tasks[number];
        const cell = [mean, null, seeds.length, text, place];
        return half === null ? cell : [...cell, mean - half, mean + half];
      },
    };
  }
  const plain = (key, name, up, value, text) => ({ key, kind: "fact", name, variant: "", up, first: false, value, text });

  // All columns of the table, shown or not, in order.
  function columns() {
    const t = table();
    const rank = {
      key: "rank", kind: "rank", name: "Rank", variant: `mean over ${t.ranked_over}`, up: false, first: state.task === "",
      value: (row) => row.rank, text: (row) => row.rank_text,
    };
    return [
      rank,
      ...t.columns.map(metricColumn),
      ...t.tasks.map(taskColumn),
      ...head().more.filter((id) => state.further.has(id)).map(furtherColumn),
      plain("year", "Year", true, (row) => method(row).year, (row) => method(row).year || "–"),
      plain("family", "Family", false, (row) => method(row).family || null, (row) => method(row).family || "–"),
      plain("parameters", "Parameters", false, (row) => method(row).parameters, (row) => FB.parameters(method(row).parameters)),
    ];
  }
  const isShown = (c) => (c.first ? !state.hidden.has(c.key) : state.added.has(c.key));
  const shownColumns = () => columns().filter(isShown);

  const valueOf = (column, row) => {
    if (column.value) return column.value(row);
    const cell = column.cell(row);
    return cell ? cell[0] : null;
  };

  function passes(row) {
    const f = state.filters;
    const m = method(row);
    const needle = f.text.trim().toLowerCase();
    if (needle && !`${row.id} ${m.title} ${m.venue}`.toLowerCase().includes(needle)) return false;
    if (f.family && m.family !== f.family) return false;
    if (f.from && !(m.year >= Number(f.from))) return false;
    if (f.to && !(m.year !== null && m.year <= Number(f.to))) return false;
    if (f.learnt && !learntOf(row).includes(f.learnt)) return false;
    return f.unranked || !row.reason;
  }

  // Rows as they are shown; what has no value stands last, whichever way they are sorted.
  function rows() {
    const kept = table().rows.filter(passes);
    const column = state.sort && (state.sort.key === "name" ? { value: label } : columns().find((c) => c.key === state.sort.key));
    if (!column) return kept;
    const way = state.sort.up ? 1 : -1;
    return kept.map((row, n) => [valueOf(column, row), n, row]).sort((a, b) => {
      if (a[0] === null || a[0] === undefined || b[0] === null || b[0] === undefined) {
        const missing = (v) => (v === null || v === undefined ? 1 : 0);
        return missing(a[0]) - missing(b[0]) || a[1] - b[1];
      }
      const less = typeof a[0] === "string" ? a[0].localeCompare(b[0], "en") : a[0] - b[0];
      return less * way || a[1] - b[1];
    }).map((x) => x[2]);
  }

  // Sorting a column begins with its better end.
  function sortBy(key) {
    const column = key === "name" ? { up: false } : columns().find((c) => c.key === key);
    const begins = !column.up;
    if (!state.sort || state.sort.key !== key) state.sort = { key, up: begins };
    else if (state.sort.up === begins) state.sort = { key, up: !begins };
    else state.sort = null;
  }

  function loadFurther() {
    return FB.load(`columns-${state.table}`).then((found) => {
      found.columns.forEach((id, n) => {
        state.further.set(id, new Map(found.cells[n].map((line) => [line[0], line.slice(1)])));
      });
    });
  }

  // Rows of the same method share its colour, in every table and plot.
  const colour = (row) => method(row).colour;
  const byRow = (id) => table().rows.find((row) => row.id === id);

  return { head, table, method, label, learntOf, columns, shownColumns, isShown, valueOf, rows, sortBy, loadFurther,
    colour, byRow };
})();
