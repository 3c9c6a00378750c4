"use strict";
// How to read the page, licences, and what disagrees.
FB.about = (() => {
  const { el, byId, link } = FB;

  function licences() {
    const kinds = [["dataset", "Datasets"], ["weights", "Weights"]];
    return kinds.map(([kind, title]) => {
      const lines = FB.index.licences.filter((x) => x.kind === kind);
      return lines.length ? [el("h3", null, title), el("ul", { class: "licences" }, lines.map((x) => el("li", null, el("strong", null, x.name), `: ${x.text}`, x.urls.map((u) => [" ", link(u, new URL(u).hostname)]))))] : null;
    });
  }

  function draw() {
    if (FB.state.view !== "about") return;
    const profile = FB.index.profiles.find((p) => p.name === FB.model.head().profile);
    byId("view-about").replaceChildren(
      el("div", { class: "prose" },
        el("h2", null, "How to read this page"),
        el("p", null, "Every number names its metric's variant, the split, the weights and the rule by which pictures are saved. A click on it says where it comes from: command, commit, versions, machine, hashes."),
        el("p", null, "The rank is the mean of an entry's ranks over the columns of the table. Where values of single images are at hand, rows that cannot be told apart share tie groups, and a row stands between two places rather than on one."),
        el("p", null, "What papers print stands below a row when you ask for it. It is others' numbers, under protocols that differ as its marks say; it is never ranked with what was measured here."),
        profile && profile.note ? el("p", null, `The evaluator shown, ${profile.title}: ${profile.note}`) : null,
        el("h3", null, "Keys"), el("p", null, "Tab goes through controls and heads of columns, Enter sorts; in the table arrow keys go from number to number, Enter opens where one comes from, Escape closes it. In pictures + and − zoom, arrows move, 0 goes back."),
        FB.index.conflicts.length ? [el("h3", null, "Disagreements between the stores"), el("p", null, "Of these the first named store's are shown."), el("ul", null, FB.index.conflicts.map((c) => el("li", null, c)))] : null,
        el("h2", null, "Licences"), el("p", null, "Images, weights and printed numbers belong to their authors. A line for each dataset and checkpoint whose results are here:"), licences()));
  }
  FB.views.about = { draw };
  return { draw };
})();
