"use strict";
// What all scripts of the page share. Data come as scripts that call FB.put, since a page that is opened from a folder
// may not fetch files. Every text of theirs becomes a text node, never markup.
const FB = (() => {
  const data = new Map();
  const loading = new Map();
  const SVG = "http://www.w3.org/2000/svg";

  const put = (name, value) => { data.set(name, value); };
  const get = (name) => data.get(name);

  // Load data/NAME.js once; NAME is a word of ours and a number.
  function load(name) {
    if (data.has(name)) return Promise.resolve(data.get(name));
    if (!loading.has(name)) {
      loading.set(name, new Promise((done, failed) => {
        const script = document.createElement("script");
        script.src = `data/${name}.js`;
        script.onload = () => (data.has(name) ? done(data.get(name)) : failed(new Error(`data/${name}.js is damaged`)));
        script.onerror = () => {
          loading.delete(name);
          failed(new Error(`data/${name}.js cannot be loaded; does it lie beside the page?`));
        };
        document.head.append(script);
      }));
    }
    return loading.get(name);
  }

  function fill(node, props, children) {
    for (const [key, value] of Object.entries(props || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (key === "style") for (const [name, text] of Object.entries(value)) node.style.setProperty(name, text);
      else if (key === "value") node.value = value;
      else node.setAttribute(key, value === true ? "" : String(value));
    }
    for (const child of children.flat(2)) {
      if (child !== null && child !== undefined && child !== false) {
        node.append(child instanceof Node ? child : document.createTextNode(String(child)));
      }
    }
    return node;
  }
  const el = (tag, props, ...children) => fill(document.createElement(tag), props, children);
  const svg = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

  const byId = (id) => document.getElementById(id);
  const say = (text) => { byId("live").textContent = text; };

  // A link only where it leads to the web; else its text.
  function link(address, text) {
    if (!/^https?:\/\//i.test(address)) return document.createTextNode(text || address);
    return el("a", { href: address, rel: "noopener noreferrer nofollow", target: "_blank" }, text || address);
  }

  // A labelled select. `options` are [value, text].
  function select(label, options, value, change, props) {
    const box = el("select", { onchange: () => change(box.value), ...props },
      options.map(([v, text]) => el("option", { value: v }, text)));
    box.value = value;
    return el("label", { class: "field" }, el("span", null, label), box);
  }
  function check(label, on, change, props) {
    const box = el("input", { type: "checkbox", onchange: () => change(box.checked), ...props });
    box.checked = on;
    return el("label", { class: "check" }, box, el("span", null, label));
  }

  function download(name, kind, text) {
    const address = URL.createObjectURL(new Blob([text], { type: kind }));
    const a = el("a", { href: address, download: name });
    document.body.append(a);
    a.click();
    a.remove();
    setTimeout(() => URL.revokeObjectURL(address), 4000);
    say(`${name} saved`);
  }

  // As many decimals as tables print; what rounds to zero has no sign.
  function fixed(value, digits) {
    const text = value.toFixed(digits);
    return /^-0\.?0*$/.test(text) ? text.slice(1) : text;
  }
  const big = (n) => n.toLocaleString("en", { maximumFractionDigits: 1 });
  function parameters(n) {
    if (n === null || n === undefined) return "–";
    if (n >= 1e6) return `${big(n / 1e6)} M`;
    return n >= 1e3 ? `${big(n / 1e3)} k` : String(n);
  }

  const listeners = [];
  const onchange = (f) => listeners.push(f);
  const changed = () => listeners.forEach((f) => f());

  return { put, get, load, el, svg, byId, say, link, select, check, download, fixed, parameters, onchange, changed,
    views: {} };
})();
