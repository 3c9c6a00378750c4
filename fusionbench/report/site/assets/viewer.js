"use strict";
// Two pictures of one pair: a slider between them, side by side with one zoom, or their difference (by blending, since a
// page from a folder may not read pixels).
FB.viewer = (() => {
  const { el, select, byId } = FB;
  const look = { id: "", left: "", right: "", mode: "slider", at: 50, zoom: 1, x: 0, y: 0, gain: 4 };
  let host = null;
  let pictures = null;

  const fileOf = (id, entry) => {
    const row = pictures.ids.indexOf(id);
    const column = pictures.entries.indexOf(entry);
    return pictures.files.find((f) => f[0] === row && f[1] === column);
  };

  function mount(node, found, chosen) {
    host = node;
    pictures = found;
    if (!found.ids.includes(look.id)) look.id = found.ids[0];
    const pick = (wish, else_) => (found.entries.includes(wish) ? wish : found.entries.includes(else_) ? else_ : found.entries[0]);
    look.left = pick(chosen.a, found.entries[found.entries.length - 1]);
    look.right = pick(chosen.b, found.sources[0]);
    draw();
  }
  function show(id) {
    look.id = id;
    reset();
    draw();
    host.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }
  const reset = () => { look.zoom = 1; look.x = 0; look.y = 0; };

  function pane(entry, name) {
    const file = fileOf(look.id, entry);
    const inside = file ? el("img", { src: file[2], alt: `${look.id}, ${entry}`, draggable: "false", class: "zoomed" }) : el("p", null, "no picture");
    return el("div", { class: `pane ${name}` }, inside);
  }

  function draw() {
    const set = (key) => (value) => { look[key] = value; draw(); };
    const names = pictures.entries.map((e) => [e, e]);
    const modes = [["slider", "slider"], ["beside", "side by side"], ["difference", "difference"]];
    const file = fileOf(look.id, look.left) || pictures.files[0];
    const shape = `${file[4]} / ${file[5]}`;
    const stage = el("div", { class: `stage ${look.mode}`, id: "stage", tabindex: "0", role: "group", style: { "--shape": shape },
      "aria-label": `${look.id}: ${look.left} and ${look.right}; plus and minus zoom, arrows move, 0 resets` });
    if (look.mode === "slider") {
      stage.append(pane(look.right, "under"), pane(look.left, "over"), el("div", { class: "handle", id: "handle", "aria-hidden": "true" }, el("span", null, "⇔")));
    } else if (look.mode === "beside") {
      stage.append(pane(look.left, "one"), pane(look.right, "two"));
    } else {
      stage.append(el("div", { class: "blend" }, pane(look.right, "under"), pane(look.left, "minus")));
    }
    const slider = el("input", { type: "range", id: "slider", min: 0, max: 100, step: 0.5, "aria-label": "Where the slider stands", oninput: (e) => { look.at = Number(e.target.value); place(); } });
    slider.value = look.at;
    const gain = el("input", { type: "range", id: "gain", min: 1, max: 16, step: 1, "aria-label": "Times the difference is made brighter", oninput: (e) => { look.gain = Number(e.target.value); place(); } });
    gain.value = look.gain;
    host.replaceChildren(
      el("div", { class: "bar" },
        select("Image", pictures.ids.map((i) => [i, i]), look.id, (v) => { reset(); set("id")(v); }, { id: "image" }),
        select("Left", names, look.left, set("left"), { id: "left" }), select("Right", names, look.right, set("right"), { id: "right" }),
        select("Look", modes, look.mode, set("mode"), { id: "mode" }),
        el("div", { class: "zooms" }, el("button", { type: "button", "aria-label": "Zoom out", onclick: () => zoom(1 / 1.5) }, "−"),
          el("button", { type: "button", id: "reset", onclick: () => { reset(); place(); } }, "1×"),
          el("button", { type: "button", id: "zoom-in", "aria-label": "Zoom in", onclick: () => zoom(1.5) }, "+"))),
      stage,
      el("div", { class: "under-stage" }, el("span", null, look.left),
        look.mode === "slider" ? slider : look.mode === "difference" ? el("label", { class: "gain" }, "× ", gain) : el("span"), el("span", null, look.right)),
      strip());
    listen(stage);
    place();
  }

  // Thumbnails of the image, as each entry made it; a click puts it to the right, the name to the left.
  function strip() {
    return el("ul", { class: "strip", "aria-label": `All pictures of ${look.id}` }, pictures.entries.map((entry) => {
      const file = fileOf(look.id, entry);
      if (!file) return null;
      return el("li", { class: entry === look.left || entry === look.right ? "now" : null },
        el("button", { type: "button", title: `${entry} to the right`, onclick: () => { look.right = entry; draw(); } },
          el("img", { src: file[3], alt: "", loading: "lazy" }), el("span", null, entry)),
        el("a", { href: file[2], target: "_blank", rel: "noopener" }, "whole"));
    }));
  }

  function place() {
    const stage = byId("stage");
    const limit = (look.zoom - 1) / 2;
    look.x = Math.max(-limit, Math.min(limit, look.x));
    look.y = Math.max(-limit, Math.min(limit, look.y));
    for (const image of stage.querySelectorAll(".zoomed")) {
      image.style.transform = `translate(${100 * look.x}%, ${100 * look.y}%) scale(${look.zoom})`;
      image.style.imageRendering = look.zoom > 3 ? "pixelated" : "auto";
    }
    const over = stage.querySelector(".over");
    if (over) {
      over.style.clipPath = `inset(0 ${100 - look.at}% 0 0)`;
      byId("handle").style.left = `${look.at}%`;
      byId("slider").value = look.at;
    }
    const blend = stage.querySelector(".blend");
    if (blend) blend.style.filter = `brightness(${look.gain})`;
    byId("reset").textContent = `${Math.round(look.zoom * 10) / 10}×`;
  }
  function zoom(by) {
    look.zoom = Math.max(1, Math.min(16, look.zoom * by));
    if (look.zoom < 1.02) reset();
    place();
  }

  function listen(stage) {
    let from = null;
    const paneWidth = () => stage.querySelector(".pane").getBoundingClientRect();
    stage.addEventListener("pointerdown", (event) => {
      const slides = look.mode === "slider" && (look.zoom === 1 || event.target.closest(".handle"));
      from = { slides, px: event.clientX, py: event.clientY, x: look.x, y: look.y };
      stage.setPointerCapture(event.pointerId);
      if (slides) move(event);
    });
    function move(event) {
      if (!from) return;
      const box = paneWidth();
      if (from.slides) look.at = Math.max(0, Math.min(100, (100 * (event.clientX - box.left)) / box.width));
      else {
        look.x = from.x + (event.clientX - from.px) / box.width;
        look.y = from.y + (event.clientY - from.py) / box.height;
      }
      place();
    }
    stage.addEventListener("pointermove", move);
    for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => { from = null; });
    stage.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey && document.activeElement !== stage) return; // else the page scrolls
      event.preventDefault();
      zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2);
    }, { passive: false });
    stage.addEventListener("dblclick", () => { if (look.zoom > 1) { reset(); place(); } else zoom(3); });
    stage.addEventListener("keydown", (event) => {
      const far = 0.15;
      const acts = {
        "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: () => { reset(); place(); },
        ArrowLeft: () => (look.zoom > 1 ? (look.x += far) : (look.at -= 2)), ArrowRight: () => (look.zoom > 1 ? (look.x -= far) : (look.at += 2)),
        ArrowUp: () => (look.y += far), ArrowDown: () => (look.y -= far),
      };
      if (!acts[event.key]) return;
      event.preventDefault();
      acts[event.key]();
      look.at = Math.max(0, Math.min(100, look.at));
      place();
    });
  }

  return { mount, show, look };
})();
