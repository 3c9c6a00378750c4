"""A page in the browser that the tests drive."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

WIDE, PHONE = (1440, 1000), (390, 844)
READY = "return document.body.dataset.ready === 'yes'"
# Texts whose contrast with the ground below them is under 4.5, as WCAG 2.2 counts it (1.4.3, AA).
CONTRAST = """
const parse = (c) => c.match(/[\\d.]+/g).map(Number);
const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
const bright = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
const ground = (node) => {
  for (let n = node; n; n = n.parentElement) {
    const c = parse(getComputedStyle(n).backgroundColor);
    if (c.length < 4 || c[3] === 1) return c;
  }
  return [255, 255, 255];
};
const low = [];
for (const node of document.querySelectorAll("body *")) {
  if (!node.checkVisibility() || node.closest(".unseen, .skip, svg, noscript, option")) continue;
  if (![...node.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
  const [a, b] = [bright(parse(getComputedStyle(node).color)), bright(ground(node))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) low.push(`${node.tagName}.${node.className} ${node.textContent.slice(0, 30)}: ${ratio.toFixed(2)}`);
}
return low;
"""
# Controls and pictures without a name.
UNNAMED = """
const every = "button, input, select, a, summary, img, [role=img]";
const named = (n) => n.textContent.trim() || n.getAttribute("aria-label") || (n.labels && n.labels.length)
  || n.getAttribute("alt") !== null;
return [...document.querySelectorAll(every)].filter((n) => n.checkVisibility() && !named(n))
  .map((n) => n.outerHTML.slice(0, 120));
"""
COLUMN = """
return [...document.querySelectorAll('#board tr[data-entry]')]
  .map((r) => r.children[arguments[0]].innerText.split('\\n')[0].trim());
"""
ROWS = "return [...document.querySelectorAll('#board tr[data-entry]')].map((r) => r.dataset.entry)"
WITHIN = "return document.documentElement.scrollWidth"  # a phone's window grows with what is wider than it


class Page:
    """A page in a browser of some size, and what it must not have done."""

    def __init__(
        self, browser: Any, folder: Path, size: tuple[int, int], fragment: str = "", dark: bool = False
    ) -> None:
        self.browser, self.width = browser, size[0]
        narrow = size[0] < 500
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": narrow}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        browser.get("about:blank")
        browser.get_log("browser"), browser.get_log("performance")
        browser.get(f"{(folder / 'index.html').as_uri()}{fragment}")
        self.until(READY)

    def js(self, text: str, *values: object) -> Any:
        return self.browser.execute_script(text, *values)

    def until(self, text: str) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.browser, 20).until(lambda _: self.js(text))

    def find(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)

    def click(self, selector: str) -> None:
        self.js("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector)
        self.find(selector).click()

    def pick(self, ident: str, value: str) -> None:
        from selenium.webdriver.support.ui import Select

        Select(self.find(f"#{ident}")).select_by_value(value)

    def rows(self) -> list[str]:
        found: list[str] = self.js(ROWS)
        return found

    def column(self, number: int) -> list[str]:
        found: list[str] = self.js(COLUMN, number)
        return found

    def tab(self, name: str) -> None:
        self.click(f"#tab-{name}")

    def calm(self) -> None:
        """No complaint of the browser, and nothing asked of the network."""
        complaints = [line for line in self.browser.get_log("browser") if line["level"] in ("SEVERE", "WARNING")]
        assert complaints == []
        events = [json.loads(line["message"])["message"] for line in self.browser.get_log("performance")]
        asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
        assert asked
        assert [u for u in asked if not re.match(r"file:|data:|blob:|about:", u)] == []
        self.fits()

    def fits(self) -> None:
        """Nothing is wider than the window."""
        assert self.js(WITHIN) <= self.width
