"""What a page's accessibility is held to: axe's rules for WCAG 2.2 A and AA, and a few that it can't judge."""

from typing import TYPE_CHECKING, Any

from axe_playwright_python.sync_playwright import Axe

if TYPE_CHECKING:
    from playwright.sync_api import Page

RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
}
_OWN = """() => {
  const wrong = [];
  const seen = new Set();
  const told = (each) => each.outerHTML.slice(0, 80);
  for (const each of document.querySelectorAll("[id]")) {
    if (seen.has(each.id)) wrong.push(`the id ${each.id} stands twice`);
    seen.add(each.id);
  }
  if (document.querySelectorAll("h1").length !== 1) wrong.push("not one h1");
  const inline = "[style], [onclick], script:not([src])";
  for (const each of document.querySelectorAll(inline)) wrong.push(`inline: ${told(each)}`);
  const body = getComputedStyle(document.body).borderColor;
  const controls = "a[href], button, input:not([type=hidden]), select, textarea";
  for (const each of [...document.querySelector("main").querySelectorAll(controls)].slice(0, 60)) {
    if (!each.checkVisibility() || !each.getClientRects().length || each.tabIndex < 0) continue;
    each.focus({ focusVisible: true, preventScroll: true });
    const frame = getComputedStyle(each.closest(".filterbar, .searchfield, .moment") ?? each);
    const isSeen = getComputedStyle(each).outlineStyle !== "none" || frame.borderColor !== body;
    if (document.activeElement !== each || !isSeen) wrong.push(`no focus to be seen: ${told(each)}`);
  }
  const width = document.documentElement.scrollWidth;
  if (width > innerWidth + 1) wrong.push(`wider than the window: ${width}`);
  return wrong.slice(0, 20);
}"""
"""Ids, one heading of the page, nothing inline, a focus that is seen, no scrolling sideways."""


ALIKE = [
    [".grid tbody tr:nth-child(n+4)"], [".file tr:nth-child(n+16)"], [".commit:nth-of-type(n+6)"],
    [".differences .change-row:nth-of-type(n+6)"], [".timebar a:nth-of-type(n+6)"],
]  # fmt: skip
"""What is left out, since it is as what comes before: axe looks at each element for milliseconds."""


def problems_of(page: "Page", rules: tuple[str, ...] = ()) -> list[str]:
    """Return what is wrong with a page, by all rules of axe's or by some, and by our own."""
    options = {"runOnly": {"type": "rule", "values": list(rules)}} if rules else RULES
    found: dict[str, Any] = Axe().run(page, context={"exclude": ALIKE}, options=options).response
    # A cell is reached by the arrows, and its link is the same target: one lies over the other.
    told = [
        f"{rule['id']}: {rule['help']}: {node['html'][:140]} {node.get('failureSummary', '')[:200]}"
        for rule in found["violations"]
        for node in rule["nodes"][:3]
        if not (rule["id"] == "target-size" and node["html"].startswith("<td data-column"))
    ]
    return told + list(page.evaluate(_OWN))
