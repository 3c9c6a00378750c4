"use strict";
// Where a number comes from: everything that its store or table records of it.
FB.details = (() => {
  const { el, byId, link, model } = FB;
  const drawer = byId("drawer");
  let back = null;

  const short = (text) => (/^[0-9a-f]{64}$/.test(text) ? el("code", { title: text, class: "hash" }, text) : String(text));
  function list(pairs) {
    const lines = pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined && !(Array.isArray(value) && !value.length));
    return el("dl", null, lines.map(([name, value]) => [el("dt", null, name), el("dd", null, value instanceof Node || Array.isArray(value) ? value : short(value))]));
  }
  const words = (object) => Object.entries(object || {}).map(([k, v]) => `${k} ${v}`).join(", ");
  const part = (title, ...content) => el("section", null, el("h3", null, title), content);

  function number(row, c) {
    const cell = c.cell(row);
    if (!cell) return null;
    const counted = c.kind === "task" ? `${cell[2]} ${cell[2] === 1 ? "seed" : "seeds"}` : `${cell[2]} images`;
    return el("div", { class: "figure" },
      el("p", { class: "value", id: "drawer-value" }, cell[3]),
      list([
        ["all digits", cell[0] === null ? "no value" : el("code", { id: "drawer-exact" }, String(cell[0]))],
        ["95 % interval", cell.length > 5 ? `${cell[5]} to ${cell[6]}` : ""],
        ["rank in this column", cell[1]],
        ["mean over", counted],
      ]));
  }

  function meaning(c) {
    const m = FB.metrics.get(c.key);
    if (c.kind === "task") return part("What it is", el("p", null, c.task.note));
    if (!m) return null;
    return part("What it is", list([
      ["metric", `${m.name}: ${m.summary}`], ["variant", `${m.variant}${m.note ? `: ${m.note}` : ""}`], ["formula", m.formula],
      ["whose numbers", m.used_by.join(", ")], ["better", m.up ? "more" : "less"], ["range", m.range], ["paper", m.paper],
    ]));
  }

  function confirmation(said) {
    const when = said.date ? `, ${said.date}` : "";
    return list([["authors", el("span", null, said.words + when, said.note ? `: ${said.note}` : "", said.source ? [" (", link(said.source), ")"] : null)]]);
  }

  function entry(row, facts) {
    const m = model.method(row);
    const info = facts.entries.find((e) => e.id === row.id) || {};
    const w = info.weights;
    return part("The row", confirmation(row.confirmed), list([
      ["not ranked", row.reason],
      ["method", [m.title, m.venue || m.year ? `, ${[m.venue, m.year].filter(Boolean).join(" ")}` : "", info.version ? `; our version ${info.version}` : ""].join("")],
      ["paper", m.paper], ["links", m.urls.map((u) => el("span", { class: "line" }, link(u)))],
      ["differs", m.differs],
      ["options", words(info.options)], ["output rule", `${info.output_rule || ""}${info.output ? `: ${words(info.output)}` : ""}`],
      ["made on", `${info.device || "cpu"} in ${info.precision || "float32"}${info.compiled ? ", compiled" : ""}`],
      ["weights", w ? `${w.name}${w.listed ? "" : " (on no card)"}` : "none"],
      ["weights, SHA-256", w ? w.sha256 : ""], ["trained on", w ? w.trained_on : ""],
      ["code, SHA-256", info.code], ["licence", m.licence],
      ["made by", row.makers.map((t) => el("span", { class: "line" }, t))],
    ]));
  }

  function data(facts, c) {
    const b = facts.board;
    const own = c && c.kind === "metric" ? facts.metrics[c.key] : null;
    const origin = b.origin || {};
    return part("The data", list([
      ["dataset", `${b.title}, split ${b.split}, ${facts.images} pairs`], ["protocol", b.protocol], ["split from", b.split_source],
      ["split, SHA-256", b.split_sha256], ["generator", origin.generator ? `${origin.generator}, seed ${origin.seed}, ${(origin.size || []).join("x")}` : ""],
      ["metric's version", own ? own.version : ""], ["metric's options", own ? words(own.options) : ""], ["metric's code, SHA-256", own ? own.code : ""],
    ]));
  }

  function networks(row, c, facts) {
    const found = facts.tasks.find((t) => t[0] === row.id);
    const own = (found ? found[1] : []).filter((r) => `${r.task}/${r.network}/${r.protocol}/${r.recipe}` === c.key.split("/").slice(0, 4).join("/"));
    if (!own.length) return null;
    return part("The networks", own.map((r) => el("details", null, el("summary", null, `seed ${r.seed}`), list([
      ["recipe", r.recipe], ["trained on", r.trained_on], ["tested on", `${r.images} pictures of ${r.test_split}`], ["command", el("code", null, r.command)],
      ["weights, SHA-256", r.weights], ["settings, SHA-256", r.settings], ["pictures, SHA-256", r.pictures], ["code, SHA-256", r.code], ["training code, SHA-256", r.training_code],
      ["made with", r.made ? `${words(r.made.libraries)} on ${r.made.processor}` : ""],
    ]))));
  }

  function runs(facts) {
    if (!facts.runs.length) return part("The runs", el("p", null, "No run is recorded."));
    return part("The runs", facts.runs.map((r, n) => el("details", { open: n === facts.runs.length - 1 },
      el("summary", null, `${r.started || "date not recorded"}`),
      list([
        ["command", el("code", null, r.command)], ["commit", r.commit || "none: not from a checkout"], ["fusionbench", r.fusionbench], ["python", r.python],
        ["libraries", words(r.libraries)],
        ["hardware", r.hardware ? [r.hardware.cpu, `${r.hardware.cores} cores`, `${r.hardware.memory_gib} GiB`, ...r.hardware.gpus].join(", ") : ""],
        ["device", r.device], ["seconds", r.wall_seconds],
      ]))));
  }

  function again() {
    const head = model.head();
    const line = head.kind === "table" ? `fusionbench reproduce ${head.stem}.json` : `fusionbench leaderboard --datasets ${head.dataset} --format json -o table.json && fusionbench reproduce table.json`;
    return part("Again", el("p", null, el("code", null, line)));
  }

  function open(row, column) {
    back = document.activeElement;
    const title = column ? `${column.name} ${column.variant ? `@ ${column.variant} ` : ""}of ${row.id}` : row.id;
    const close = el("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => drawer.close() }, "✕");
    const body = el("div", { id: "drawer-body" }, column ? number(row, column) : null, column ? meaning(column) : null, el("p", { class: "fine" }, "loading…"));
    drawer.replaceChildren(el("div", { class: "drawer-head" }, el("h2", { id: "drawer-title" },
      el("span", { class: "swatch", style: { background: model.colour(row) } }), title), close), body);
    drawer.showModal();
    FB.load(`provenance-${FB.state.table}`).then((facts) => {
      body.lastChild.remove();
      body.append(...[entry(row, facts), column && column.kind === "task" ? networks(row, column, facts) : null, data(facts, column), runs(facts), again()].filter(Boolean));
      body.dataset.ready = "yes";
    }).catch((error) => { body.lastChild.textContent = error.message; });
  }

  drawer.addEventListener("close", () => { if (back && back.isConnected) back.focus(); });
  drawer.addEventListener("click", (event) => { if (event.target === drawer) drawer.close(); });
  return { open };
})();
