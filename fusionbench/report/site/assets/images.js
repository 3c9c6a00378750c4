"use strict";
// Image by image: where one entry beats or loses to another under a metric.
FB.images = (() => {
  const { el, select, byId, model } = FB;
  const state = FB.state;
  const chosen = { a: "", b: "", metric: "", order: "loses", all: false };
  const MOST = 60;

  function how() {
    const head = model.head();
    return el("div", { class: "how" },
      el("p", null, "This table's files hold means alone. Values of single images come with the results store that they were computed in:"),
      el("pre", null, `fusionbench eval --datasets ${head.dataset} --all\nfusionbench site results --out page --pictures 6`));
  }

  function draw() {
    const view = byId("view-images");
    if (state.view !== "images") return;
    const head = model.head();
    if (head.kind !== "store") {
      view.replaceChildren(el("h2", null, `${head.title}, image by image`), how());
      return;
    }
    const jobs = [FB.load(`images-${state.table}`), head.pictures >= 0 ? FB.load(`pictures-${head.pictures}`) : null];
    Promise.all(jobs).then(([values, pictures]) => show(view, values, pictures)).catch((error) => {
      view.replaceChildren(el("p", { class: "warn" }, error.message));
    });
  }

  function settle(values) {
    const ranked = model.table().rows.filter((r) => !r.reason).map((r) => r.id);
    const names = [...ranked, ...values.entries.filter((e) => !ranked.includes(e))];
    if (!names.includes(chosen.a)) chosen.a = names[0];
    if (!names.includes(chosen.b)) chosen.b = names[1] || names[0];
    if (!values.columns.includes(chosen.metric)) chosen.metric = values.columns[0];
    return names;
  }

  // Images with both values, by how much A is better than B: less than zero where it loses.
  function differences(values) {
    const column = values.columns.indexOf(chosen.metric);
    const [a, b] = [chosen.a, chosen.b].map((e) => values.values[column][values.entries.indexOf(e)]);
    const way = FB.metrics.get(chosen.metric).up ? 1 : -1;
    const found = [];
    values.ids.forEach((id, n) => {
      if (a[n] !== null && b[n] !== null) found.push({ id, n, a: a[n], b: b[n], gain: way * (a[n] - b[n]) });
    });
    const orders = { loses: (x, y) => x.gain - y.gain, wins: (x, y) => y.gain - x.gain, most: (x, y) => Math.abs(y.gain) - Math.abs(x.gain), name: (x, y) => x.n - y.n };
    return found.sort((x, y) => orders[chosen.order](x, y) || x.n - y.n);
  }

  function show(view, values, pictures) {
    const names = settle(values);
    const set = (key) => (value) => { chosen[key] = value; chosen.all = false; show(view, values, pictures); };
    const metrics = values.columns.map((id) => [id, `${FB.metrics.get(id).name} @ ${FB.metrics.get(id).variant} ${FB.metrics.get(id).up ? "↑" : "↓"}`]);
    const found = differences(values);
    const wins = found.filter((x) => x.gain > 0).length;
    const loses = found.filter((x) => x.gain < 0).length;
    const mean = found.reduce((sum, x) => sum + x.gain, 0) / (found.length || 1);
    const m = FB.metrics.get(chosen.metric);
    const swap = el("button", { type: "button", id: "swap", onclick: () => { [chosen.a, chosen.b] = [chosen.b, chosen.a]; show(view, values, pictures); } }, "Swap");
    view.replaceChildren(
      el("div", { class: "caption" }, el("h2", null, `${model.head().title}, image by image`),
        el("p", { class: "fine" }, "Each bar is the difference of one image, longer the more A (right) or B (left) is better.")),
      el("div", { class: "bar" },
        select("A", names.map((n) => [n, n]), chosen.a, set("a"), { id: "a" }),
        select("B", names.map((n) => [n, n]), chosen.b, set("b"), { id: "b" }), swap,
        select("Metric", metrics, chosen.metric, set("metric"), { id: "metric" }),
        select("First", [["loses", "where A loses most"], ["wins", "where A wins most"], ["most", "largest difference"], ["name", "by image"]], chosen.order, set("order"), { id: "order" })),
      el("p", { id: "tally" }, el("strong", null, chosen.a), ` is better on ${wins}, worse on ${loses}, the same on ${found.length - wins - loses} of ${found.length} images; on average ${Math.abs(mean).toPrecision(3)} ${mean < 0 ? "worse" : "better"}.`),
      ranking(view, values, pictures, found, m),
      el("div", { id: "viewer" }));
    if (pictures) FB.viewer.mount(byId("viewer"), pictures, chosen);
    else byId("viewer").replaceChildren(el("p", { class: "how" }, "No pictures are in this page. Make them with ", el("code", null, "fusionbench site STORE --out DIR --pictures 6"), ", or name images: ", el("code", null, `--pictures ${values.ids.slice(0, 2).join(",")}`), "."));
  }

  function ranking(view, values, pictures, found, m) {
    const most = Math.max(...found.map((x) => Math.abs(x.gain)), 1e-12);
    const listed = chosen.all ? found : found.slice(0, MOST);
    const seen = pictures ? new Map(pictures.ids.map((id, n) => [id, n])) : new Map();
    const body = listed.map((x) => {
      const share = `${(50 * Math.abs(x.gain)) / most}%`;
      const bar = el("span", { class: "diff", "aria-hidden": "true" }, el("i", { class: x.gain < 0 ? "lost" : "won", style: { width: share, [x.gain < 0 ? "right" : "left"]: "50%" } }));
      const name = seen.has(x.id) ? el("button", { type: "button", class: "link", onclick: () => FB.viewer.show(x.id) }, x.id) : x.id;
      const condition = values.conditions[x.n];
      return el("tr", { "data-image": x.id }, el("th", { scope: "row" }, name, condition ? el("small", null, ` ${condition}`) : null),
        el("td", null, FB.fixed(x.a, m.digits)), el("td", null, FB.fixed(x.b, m.digits)), el("td", { class: "gain" }, (x.gain > 0 ? "+" : "") + FB.fixed(x.gain, m.digits)), el("td", { class: "bars" }, bar));
    });
    const rest = found.length - listed.length;
    return el("div", { class: "scroller short" },
      el("table", { id: "differences" }, el("thead", null, el("tr", null, ["Image", "A", "B", "A better by", ""].map((t) => el("th", { scope: "col" }, t)))), el("tbody", null, body)),
      rest ? el("button", { type: "button", onclick: () => { chosen.all = true; show(view, values, pictures); } }, `Show ${rest} more`) : null);
  }

  FB.views.images = { draw };
  return { draw, differences, chosen };
})();
