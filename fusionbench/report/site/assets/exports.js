"use strict";
// The view as files: the rows and columns as they are shown, in their order.
FB.exports = (() => {
  const { el, svg, model } = FB;

  const texts = (c, row) => {
    if (c.kind === "rank" || c.kind === "fact") return String(c.text(row));
    const cell = c.cell(row);
    return cell ? cell[3] : "–";
  };
  const title = (c) => (c.kind === "metric" ? c.key : c.variant ? `${c.name} ${c.variant}` : c.name);
  const stem = () => model.head().stem.replace(/[^A-Za-z0-9@+=.-]+/g, "_") || "table";

  // A cell that a spreadsheet would run as a formula begins with an apostrophe.
  function csvCell(value) {
    const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) && value !== "–" ? `'${value}` : String(value);
    return /[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  }
  function csv() {
    const columns = model.shownColumns();
    const heads = ["entry", ...columns.flatMap((c) => (FB.state.intervals && c.cell ? [title(c), `${title(c)} low95`, `${title(c)} high95`] : [title(c)]))];
    const lines = model.rows().map((row) => [row.id, ...columns.flatMap((c) => {
      const value = model.valueOf(c, row);
      const exact = value === null || value === undefined ? "" : value;
      if (!FB.state.intervals || !c.cell) return [exact];
      const cell = c.cell(row) || [];
      return [exact, cell.length > 5 ? cell[5] : "", cell.length > 5 ? cell[6] : ""];
    })]);
    return [heads, ...lines].map((line) => line.map(csvCell).join(",")).join("\n") + "\n";
  }

  const TEX = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "↑": "$\\uparrow$", "↓": "$\\downarrow$", "–": "--", "±": "$\\pm$" };
  const tex = (text) => String(text).replace(/[\r\n]+/g, " ").replace(/[\\~^&%$#_{}↑↓–±]/g, (c) => TEX[c] || `\\${c}`);
  function latex() {
    const columns = model.shownColumns();
    const arrow = (c) => (c.kind === "fact" ? "" : ` ${c.up ? "↑" : "↓"}`);
    const mark = (c, row) => {
      const text = tex(texts(c, row));
      const place = c.cell && c.cell(row) ? c.cell(row)[4] : 0;
      return place === 1 ? `\\textbf{${text}}` : place === 2 ? `\\underline{${text}}` : text;
    };
    return [
      "% needs \\usepackage{booktabs}", `\\begin{tabular}{l${"r".repeat(columns.length)}}`, "\\toprule",
      `${["Method", ...columns.map((c) => tex(title(c) + arrow(c)))].join(" & ")} \\\\`, "\\midrule",
      ...model.rows().map((row) => `${[tex(row.id), ...columns.map((c) => mark(c, row))].join(" & ")} \\\\`),
      "\\bottomrule", "\\end{tabular}", "",
    ].join("\n");
  }

  function picture() {
    const columns = model.shownColumns();
    const rows = model.rows();
    const first = 12 + 7.4 * Math.max(8, ...rows.map((r) => r.id.length));
    const wide = columns.map((c) => 14 + 7 * Math.max(title(c).length * 0.86 + 2, ...rows.map((r) => texts(c, r).length)));
    const ends = wide.map((_, n) => first + wide.slice(0, n + 1).reduce((a, b) => a + b, 0));
    const width = (ends[ends.length - 1] || first) + 12;
    const height = 44 + 22 * rows.length;
    const line = (y, w) => svg("line", { x1: 8, x2: width - 8, y1: y, y2: y, stroke: "#222", "stroke-width": w });
    const put = (x, y, text, props) => svg("text", { x, y, ...props }, text);
    const node = svg("svg", { xmlns: "http://www.w3.org/2000/svg", width, height, viewBox: `0 0 ${width} ${height}`, "font-family": "Helvetica, Arial, sans-serif", "font-size": 12 },
      svg("rect", { width, height, fill: "#fff" }), line(8, 1.4), line(32, 0.7), line(height - 8, 1.4),
      put(26, 24, "Method", { "font-weight": "bold" }),
      columns.map((c, n) => put(ends[n], 24, `${title(c)}${c.kind === "fact" ? "" : c.up ? " ↑" : " ↓"}`, { "text-anchor": "end", "font-weight": "bold", "font-size": 10.5 })),
      rows.map((row, r) => {
        const y = 48 + 22 * r;
        return [svg("rect", { x: 12, y: y - 9, width: 8, height: 8, rx: 2, fill: model.colour(row) }), put(26, y, row.id, {}),
          columns.map((c, n) => {
            const place = c.cell && c.cell(row) ? c.cell(row)[4] : 0;
            return put(ends[n], y, texts(c, row), { "text-anchor": "end", "font-weight": place === 1 ? "bold" : "normal", "text-decoration": place === 2 ? "underline" : "none" });
          })];
      }));
    return serialised(node);
  }
  const serialised = (node) => `<?xml version="1.0" encoding="UTF-8"?>\n${new XMLSerializer().serializeToString(node)}\n`;

  const KINDS = {
    csv: ["text/csv", csv], tex: ["application/x-tex", latex], svg: ["image/svg+xml", picture],
  };
  const save = (kind) => FB.download(`${stem()}.${kind}`, KINDS[kind][0], KINDS[kind][1]());
  function menu() {
    const button = (kind, text) => el("button", { type: "button", id: `save-${kind}`, onclick: () => save(kind) }, text);
    return el("details", { class: "menu", id: "save" }, el("summary", null, "Save view"),
      el("div", { class: "sheet" }, button("csv", "CSV, all digits"), button("tex", "LaTeX"), button("svg", "SVG")));
  }
  return { menu, csv, latex, picture, serialised, stem };
})();
