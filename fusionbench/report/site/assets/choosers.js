"use strict";
// Which dataset, task, evaluator and results; the choice stands in the address, so that it can be sent to somebody.
FB.choosers = (() => {
  const { el, select, byId } = FB;
  const state = FB.state;
  const tables = FB.index.tables;
  const whole = (t) => t.expected === null || t.images >= t.expected;
  const better = (a, b) => (b.kind === "store") - (a.kind === "store") || whole(b) - whole(a)
    || b.rows * b.columns - a.rows * a.columns || b.images - a.images;
  const withTask = (t, task) => task === "" || t.tasks.includes(task);

  function best(list) {
    return [...list].sort(better)[0];
  }
  const count = (t) => (t.expected !== null && t.images < t.expected ? `${t.images} of ${t.expected}` : `${t.images}`);

  function open(number, keep) {
    const head = tables[number];
    const ready = head.first ? Promise.resolve() : FB.load(`table-${number}`);
    return ready.then(() => {
      state.table = number;
      state.further = new Map();
      if (!keep) {
        state.sort = null;
        state.hidden = new Set();
        state.added = new Set();
      }
      draw();
      FB.changed();
    }).catch((error) => FB.say(error.message));
  }

  function choose(wish) {
    const now = tables[state.table];
    const same = { dataset: now.dataset, profile: now.profile, task: state.task, ...wish };
    state.task = same.task;
    const ranked = tables.map((t, n) => [t, n]).filter(([t]) => t.dataset === same.dataset);
    const narrowed = ranked.filter(([t]) => withTask(t, same.task));
    if (!narrowed.length) state.task = "";
    const fitting = narrowed.length ? narrowed : ranked;
    const own = fitting.filter(([t]) => t.profile === same.profile);
    const standard = fitting.filter(([t]) => t.profile === "default");
    const from = own.length ? own : standard.length ? standard : fitting;
    const chosen = best(from.map(([t]) => t));
    return open(tables.indexOf(chosen));
  }

  function draw() {
    const now = tables[state.table];
    const datasets = [...new Map(tables.map((t) => [t.dataset, t])).values()]
      .sort((a, b) => a.generated - b.generated || a.title.localeCompare(b.title, "en"));
    const here = tables.filter((t) => t.dataset === now.dataset);
    const tasks = [...new Set(here.flatMap((t) => t.tasks))];
    const ofTask = here.filter((t) => withTask(t, state.task));
    const profiles = FB.index.profiles.filter((p) => ofTask.some((t) => t.profile === p.name));
    const results = tables.map((t, n) => [t, n])
      .filter(([t]) => t.dataset === now.dataset && t.profile === now.profile && withTask(t, state.task))
      .sort((a, b) => better(a[0], b[0]));
    const titleOf = (name) => (FB.index.tasks.find((t) => t.name === name) || { title: name }).title;
    byId("choosers").replaceChildren(
      select("Dataset", datasets.map((t) => [t.dataset, t.title]), now.dataset, (v) => choose({ dataset: v }), { id: "dataset" }),
      select("Task", [["", "fusion metrics"], ...tasks.map((t) => [t, titleOf(t)])], state.task, (v) => choose({ task: v }), { id: "task" }),
      select("Evaluator", profiles.map((p) => [p.name, p.title]), now.profile, (v) => choose({ profile: v }), { id: "profile" }),
      select(`Results (${results.length})`, results.map(([t, n]) => [String(n),
        `${count(t)} images, ${t.rows} rows × ${t.columns + t.more.length} columns · ${t.label}`]),
        String(state.table), (v) => open(Number(v)), { id: "results" }),
    );
    remember();
  }

  function remember() {
    const now = tables[state.table];
    const parts = new URLSearchParams({ table: now.label, profile: now.profile, dataset: now.dataset });
    if (state.task) parts.set("task", state.task);
    if (state.sort) parts.set("sort", `${state.sort.up ? "" : "-"}${state.sort.key}`);
    if (state.view !== "table") parts.set("view", state.view);
    history.replaceState(null, "", `#${parts}`);
  }

  // What the address asks for, as far as it is here.
  function restore() {
    const asked = new URLSearchParams(location.hash.slice(1));
    let number = tables.findIndex((t) => t.label === asked.get("table") && t.profile === asked.get("profile") && t.dataset === asked.get("dataset"));
    if (number < 0) {
      const real = tables.filter((t) => !t.generated && t.profile === "default" && whole(t));
      const list = real.length ? real : tables.filter((t) => t.profile === "default");
      const value = (t) => t.rows * t.images * Math.sqrt(t.columns);
      number = tables.indexOf([...(list.length ? list : tables)].sort((a, b) => (b.kind === "store") - (a.kind === "store") || value(b) - value(a))[0]);
    }
    const task = asked.get("task") || "";
    state.task = tables[number].tasks.includes(task) ? task : "";
    const sort = asked.get("sort");
    if (sort) state.sort = { key: sort.replace(/^-/, ""), up: !sort.startsWith("-") };
    if (["images", "plots", "about"].includes(asked.get("view"))) state.view = asked.get("view");
    return open(number, true);
  }

  return { choose, open, restore, remember, count };
})();
