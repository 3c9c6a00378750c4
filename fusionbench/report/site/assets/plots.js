"use strict";
// Plots as SVG: quality against cost, the spread over images, training curves.
FB.plots = (() => {
  const { el, svg, select, byId, model } = FB;
  const state = FB.state;
  const chosen = { y: "", x: "parameters", group: 0 };
  const W = 760;
  const H = 380;
  const PAD = { l: 64, r: 20, t: 16, b: 46 };
  const COSTS = {
    parameters: ["parameters", "parameters of the networks"], milliseconds: ["milliseconds a pair", "milliseconds"], flops: ["operations (FLOP) a pair", "floating-point operations"],
  };

  function nice(low, high, count) {
    const span = high - low || Math.abs(high) || 1;
    const raw = span / count;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= raw);
    const ticks = [];
    for (let t = Math.ceil(low / step) * step; t <= high + 1e-9 * span; t += step) ticks.push(Math.abs(t) < 1e-12 * span ? 0 : t);
    return ticks;
  }
  // Powers of ten within a range; where they are few, their halves and fifths too.
  function powers(low, high) {
    const within = (factors) => {
      const ticks = [];
      for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p += 1) ticks.push(...factors.map((f) => f * 10 ** p));
      return ticks.filter((t) => t >= low && t <= high);
    };
    return within([1]).length > 2 ? within([1]) : within([1, 2, 5]);
  }
  const shortNumber = (v) => (v !== 0 && (Math.abs(v) >= 1e4 || Math.abs(v) < 1e-3) ? v.toExponential(0).replace("e+", "e") : String(Number(v.toPrecision(4))));
  function unit(v) {
    const found = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]].find(([n]) => v >= n);
    return found ? `${Number((v / found[0]).toPrecision(3))} ${found[1]}` : shortNumber(v);
  }

  function frame(label, sx, sy, xt, yt, xname, yname, ticktext) {
    return svg("svg", { viewBox: `0 0 ${W} ${H}`, class: "plot", role: "img", "aria-label": label, xmlns: "http://www.w3.org/2000/svg" },
      yt.map((t) => [svg("line", { class: "grid", x1: PAD.l, x2: W - PAD.r, y1: sy(t), y2: sy(t) }), svg("text", { class: "tick", x: PAD.l - 8, y: sy(t) + 4, "text-anchor": "end" }, shortNumber(t))]),
      xt.map((t) => [svg("line", { class: "grid", x1: sx(t), x2: sx(t), y1: PAD.t, y2: H - PAD.b }), svg("text", { class: "tick", x: sx(t), y: H - PAD.b + 16, "text-anchor": "middle" }, (ticktext || shortNumber)(t))]),
      svg("text", { class: "axis", x: (W + PAD.l - PAD.r) / 2, y: H - 8, "text-anchor": "middle" }, xname),
      svg("text", { class: "axis", transform: `translate(14 ${(H - PAD.b + PAD.t) / 2}) rotate(-90)`, "text-anchor": "middle" }, yname));
  }
  const linear = (low, high, from, to) => (v) => from + ((v - low) / (high - low || 1)) * (to - from);

  function saveButton(node, name) {
    return el("button", { type: "button", class: "quiet", onclick: () => {
      const copy = node.cloneNode(true);
      const style = { grid: "stroke:#ddd", tick: "fill:#444;font:11px sans-serif", axis: "fill:#222;font:12px sans-serif", label: "fill:#222;font:11px sans-serif", box: "fill-opacity:.25" };
      for (const part of copy.querySelectorAll("[class]")) if (style[part.getAttribute("class")]) part.setAttribute("style", style[part.getAttribute("class")]);
      copy.setAttribute("width", W);
      copy.setAttribute("height", H);
      FB.download(`${FB.exports.stem()}-${name}.svg`, "image/svg+xml", FB.exports.serialised(copy));
    } }, "Save SVG");
  }

  // Where a name fits beside its dot without lying on another; none where it fits nowhere (a dot says its name too).
  function freeSpot(d, taken) {
    const wide = 5.6 * d.row.id.length;
    for (const down of [0, -10, 10, -19, 19]) {
      for (const anchor of ["start", "end"]) {
        const x = anchor === "start" ? d.cx + 8 : d.cx - 8;
        const box = [anchor === "start" ? x : x - wide, d.cy + down - 5, anchor === "start" ? x + wide : x, d.cy + down + 5];
        const inside = box[0] > PAD.l && box[2] < W - 4 && box[1] > 0 && box[3] < H - PAD.b;
        if (inside && !taken.some((t) => box[0] < t[2] && box[2] > t[0] && box[1] < t[3] && box[3] > t[1])) {
          taken.push(box);
          return { x, y: d.cy + down + 4, anchor };
        }
      }
    }
    return null;
  }

  function columns() { return model.columns().filter((c) => c.kind === "metric" || c.kind === "task"); }

  function costs(groups) {
    const list = columns();
    const y = list.find((c) => c.key === chosen.y) || list.find((c) => c.first) || list[0];
    if (!y) return null;
    chosen.y = y.key;
    const group = groups[chosen.group] || groups[0];
    const measured = new Map((group ? group.rows : []).map((r) => [r.entry, r]));
    const xs = ["parameters", ...(group ? ["milliseconds", "flops"] : [])];
    if (!xs.includes(chosen.x)) chosen.x = "parameters";
    const xOf = (row) => {
      const m = measured.get(row.id);
      if (m && m[chosen.x]) return m[chosen.x];
      return chosen.x === "parameters" ? model.method(row).parameters : null;
    };
    const points = model.rows().filter((r) => !r.reason).map((row) => ({ row, x: xOf(row), y: model.valueOf(y, row) })).filter((p) => p.x && p.y !== null);
    const set = (key) => (v) => { chosen[key] = key === "group" ? Number(v) : v; draw(); };
    const bar = el("div", { class: "bar" },
      select("Quality", list.map((c) => [c.key, `${c.name} @ ${c.variant} ${c.up ? "↑" : "↓"}`]), chosen.y, set("y"), { id: "quality" }),
      select("Cost", xs.map((x) => [x, COSTS[x][1]]), chosen.x, set("x"), { id: "cost" }),
      groups.length > 1 ? select("Measured on", groups.map((g, n) => [String(n), g.title]), String(chosen.group), set("group")) : null);
    const left = model.rows().filter((r) => !r.reason && !points.some((p) => p.row === r)).length;
    if (!points.length) return el("section", null, el("h3", null, "Quality against cost"), bar, el("p", { class: "fine" }, "No row here has both."));
    const [lx, hx] = [Math.min(...points.map((p) => p.x)) / 1.6, Math.max(...points.map((p) => p.x)) * 1.6];
    const [ly, hy] = [Math.min(...points.map((p) => p.y)), Math.max(...points.map((p) => p.y))];
    const margin = (hy - ly || Math.abs(hy) || 1) * 0.08;
    const sx = (v) => linear(Math.log(lx), Math.log(hx), PAD.l, W - PAD.r)(Math.log(v));
    const sy = linear(ly - margin, hy + margin, H - PAD.b, PAD.t);
    const node = frame(`${y.name} against ${COSTS[chosen.x][1]} of ${points.length} rows`, sx, sy, powers(lx, hx), nice(ly - margin, hy + margin, 6), `${COSTS[chosen.x][0]}, logarithmic`, `${y.name} @ ${y.variant} ${y.up ? "↑" : "↓"}`, unit);
    const dots = points.map((p) => ({ ...p, cx: sx(p.x), cy: sy(p.y) })).sort((a, b) => a.cy - b.cy);
    const taken = dots.map((d) => [d.cx - 5, d.cy - 5, d.cx + 5, d.cy + 5]);
    for (const d of dots) {
      node.append(svg("circle", { cx: d.cx, cy: d.cy, r: 5, fill: model.colour(d.row), "data-entry": d.row.id }, svg("title", null, `${d.row.id}: ${d.y}, ${unit(d.x)}`)));
      const spot = freeSpot(d, taken);
      if (spot) node.append(svg("text", { class: "label", x: spot.x, y: spot.y, "text-anchor": spot.anchor }, d.row.id));
    }
    return el("section", null, el("div", { class: "plot-head" }, el("h3", null, "Quality against cost"), saveButton(node, "cost")), bar, el("div", { class: "plot-box" }, node),
      el("p", { class: "fine" }, group && chosen.x !== "parameters" ? `${group.title}. ` : "Parameters as the methods' cards say. ", left ? `${left} rows have no such cost and are not drawn.` : ""));
  }

  // A box a row: median, quartiles, and the least and greatest value over images.
  function spread(values) {
    const at = values.columns.indexOf(chosen.y);
    if (at < 0) return null;
    const quantile = (sorted, q) => {
      const place = q * (sorted.length - 1);
      const n = Math.floor(place);
      return sorted[n] + (place - n) * ((sorted[n + 1] === undefined ? sorted[n] : sorted[n + 1]) - sorted[n]);
    };
    const shown = model.rows().map((row) => ({ row, v: values.values[at][values.entries.indexOf(row.id)].filter((x) => x !== null).sort((a, b) => a - b) })).filter((x) => x.v.length);
    if (!shown.length) return null;
    const low = Math.min(...shown.map((s) => s.v[0]));
    const high = Math.max(...shown.map((s) => s.v[s.v.length - 1]));
    const left = 190;
    const height = 40 + 20 * shown.length;
    const sx = linear(low, high, left, W - 20);
    const m = FB.metrics.get(chosen.y);
    const node = svg("svg", { viewBox: `0 0 ${W} ${height}`, class: "plot", role: "img", "aria-label": `Spread of ${m.name} over images`, xmlns: "http://www.w3.org/2000/svg" },
      nice(low, high, 7).map((t) => [svg("line", { class: "grid", x1: sx(t), x2: sx(t), y1: 4, y2: height - 30 }), svg("text", { class: "tick", x: sx(t), y: height - 16, "text-anchor": "middle" }, shortNumber(t))]),
      shown.map(({ row, v }, n) => {
        const y = 14 + 20 * n;
        const [a, q1, q2, q3, b] = [0, 0.25, 0.5, 0.75, 1].map((q) => sx(quantile(v, q)));
        const c = model.colour(row);
        return svg("g", null, svg("title", null, `${row.id}: median ${quantile(v, 0.5)}`), svg("text", { class: "label", x: left - 8, y: y + 4, "text-anchor": "end" }, row.id),
          svg("line", { x1: a, x2: b, y1: y, y2: y, stroke: c }), svg("rect", { class: "box", x: q1, y: y - 6, width: Math.max(1, q3 - q1), height: 12, fill: c, stroke: c }), svg("line", { x1: q2, x2: q2, y1: y - 6, y2: y + 6, stroke: c, "stroke-width": 2.5 }));
      }));
    return el("section", null, el("div", { class: "plot-head" }, el("h3", null, `Over images: ${m.name} @ ${m.variant} ${m.up ? "↑" : "↓"}`), saveButton(node, "spread")), el("div", { class: "plot-box" }, node),
      el("p", { class: "fine" }, "Box: the middle half of the images with their median; line: least to greatest."));
  }

  function training(runs) {
    const titles = [...new Set(runs.flatMap((r) => r.curves.map((c) => c.title)))];
    return el("section", null, el("h3", null, "Training"), titles.map((title) => {
      const own = runs.flatMap((r) => r.curves.filter((c) => c.title === title).map((c) => ({ ...c, run: r })));
      const all = own.flatMap((c) => c.values).filter((v) => v !== null);
      const steps = own.flatMap((c) => c.steps);
      if (!all.length) return null;
      const [ly, hy, hx] = [Math.min(...all), Math.max(...all), Math.max(...steps)];
      const sx = linear(0, hx, PAD.l, W - PAD.r);
      const sy = linear(ly, hy, H - PAD.b, PAD.t);
      const node = frame(`${title} over steps of ${own.length} runs`, sx, sy, nice(0, hx, 6), nice(ly, hy, 5), "step", title);
      for (const c of own) {
        const points = c.steps.map((s, n) => (c.values[n] === null ? "" : `${sx(s).toFixed(1)},${sy(c.values[n]).toFixed(1)}`)).filter(Boolean).join(" ");
        node.append(svg("polyline", { points, fill: "none", stroke: c.run.colour, "stroke-width": 1.6, "data-run": c.run.name }, svg("title", null, `${c.run.name}: ${c.of} values logged`)));
      }
      return el("div", null, el("div", { class: "plot-head" }, el("h4", null, title), saveButton(node, "training")), el("div", { class: "plot-box" }, node),
        el("ul", { class: "legend" }, own.map((c) => el("li", null, el("span", { class: "swatch", style: { background: c.run.colour } }), c.run.name))));
    }));
  }

  function draw() {
    if (state.view !== "plots") return;
    const view = byId("view-plots");
    const jobs = [FB.index.costs ? FB.load("costs") : [], model.head().kind === "store" ? FB.load(`images-${state.table}`) : null, FB.index.training ? FB.load("training") : null];
    Promise.all(jobs).then(([groups, values, runs]) => {
      view.replaceChildren(el("div", { class: "caption" }, el("h2", null, `${model.head().title}, drawn`)), ...[costs(groups), values ? spread(values) : null, runs ? training(runs) : null].filter(Boolean));
    }).catch((error) => view.replaceChildren(el("p", { class: "warn" }, error.message)));
  }

  FB.views.plots = { draw };
  return { draw };
})();
