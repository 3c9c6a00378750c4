"use strict";
// Tabs, theme, and the beginning.
(() => {
  const { byId, el } = FB;
  const state = FB.state;
  const tabs = [...document.querySelectorAll('[role="tab"]')];
  const nameOf = (tab) => tab.id.slice("tab-".length);

  function open(name) {
    state.view = name;
    for (const tab of tabs) {
      const on = nameOf(tab) === name;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
      byId(tab.getAttribute("aria-controls")).hidden = !on;
    }
    FB.choosers.remember();
    FB.views[name].draw();
  }
  tabs.forEach((tab, n) => {
    tab.addEventListener("click", () => open(nameOf(tab)));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(n + step + tabs.length) % tabs.length];
      open(nameOf(next));
      next.focus();
    });
  });

  const THEMES = ["system", "light", "dark"];
  function theme(name) {
    if (name === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    byId("theme").textContent = `Theme: ${name}`;
    byId("theme").dataset.now = name;
  }
  let remembered = "system";
  try { remembered = localStorage.getItem("fusionbench-theme") || "system"; } catch { /* a browser may forbid it */ }
  theme(THEMES.includes(remembered) ? remembered : "system");
  byId("theme").addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(byId("theme").dataset.now) + 1) % THEMES.length];
    theme(next);
    try { localStorage.setItem("fusionbench-theme", next); } catch { /* likewise */ }
  });

  // A menu closes when something else is clicked, or at Escape.
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!event.composedPath().includes(menu)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
  });

  document.title = FB.index.title;
  byId("title").textContent = FB.index.title;
  byId("foot").append(el("p", null, `Made with fusionbench ${FB.index.version}. ${FB.index.tables.length} tables. Nothing on this page is loaded from elsewhere; licences stand under About.`));
  FB.onchange(() => Object.values(FB.views).forEach((view) => view.draw()));
  FB.choosers.restore().then(() => { open(state.view); document.body.dataset.ready = "yes"; });
})();
