"use strict";
(() => {
  const every = (selector, at = document) => [...at.querySelectorAll(selector)];
  const pictures = every("svg.vifplug");
  const nodes = every(".vifplug .node"), lanes = every(".vifplug .lane");
  const wires = every(".vifplug .wire"), panel = document.querySelector("aside");
  const input = document.querySelector("input"), found = document.querySelector("#found");
  const chips = every(".chips button"), themes = ["auto", "light", "dark"];
  const nameOf = (node) => node.id || node.dataset.again;
  const pathOf = new Map(lanes.map((lane) => [lane, new Set(lane.dataset.path.split(" "))]));
  const textOf = (thing) => thing.querySelector("title").textContent;
  const texts = new Map([...nodes, ...lanes].map((each) => [each, textOf(each).toLowerCase()]));
  const tops = new Map();
  let matches = [], at = -1;

  // The panel tells as much, so the browser's own hint would only hide the picture.
  for (const thing of [...nodes, ...lanes]) {
    thing.told = textOf(thing).split("\n");
    thing.setAttribute("aria-label", textOf(thing).split("\n").join(", "));
    thing.querySelector("title").remove();
  }

  // Which things belong together: all between the wire and the guests that pass by one.
  function together(thing) {
    if (thing.classList.contains("lane")) return { ids: pathOf.get(thing), lanes: [thing] };
    const id = nameOf(thing), ids = new Set([id]), passing = [];
    for (const [lane, path] of pathOf) {
      if (!path.has(id)) continue;
      passing.push(lane);
      for (const each of path) ids.add(each);
    }
    return { ids, lanes: passing };
  }

  function mark(group, name) {
    const passing = new Set(group.lanes);
    for (const node of nodes) node.classList.toggle(name, group.ids.has(nameOf(node)));
    for (const lane of lanes) lane.classList.toggle(name, passing.has(lane));
    for (const wire of wires) {
      const ends = wire.dataset.ends.split(" ");
      wire.classList.toggle(name, ends.every((end) => group.ids.has(end)));
    }
  }

  function show(thing) {
    panel.replaceChildren();
    for (const svg of pictures) svg.classList.toggle("busy", Boolean(thing));
    mark(thing ? together(thing) : { ids: new Set(), lanes: [] }, "lit");
    if (!thing) return;
    const [head, ...rest] = thing.told;
    const title = document.createElement("h3");
    title.textContent = head;
    panel.append(title, ...rest.map((text) => {
      const line = document.createElement("p");
      const [word, value] = text.split("  ");
      line.textContent = value === undefined ? text : text.slice(word.length + 2);
      if (value !== undefined) {
        const label = document.createElement("b");
        label.textContent = word;
        line.prepend(label);
      }
      return line;
    }));
  }

  for (const thing of [...nodes, ...lanes]) {
    thing.addEventListener("mouseenter", () => show(thing));
    thing.addEventListener("mouseleave", () => show(document.activeElement?.told ? document.activeElement : null));
    thing.addEventListener("focus", () => show(thing));
    thing.addEventListener("blur", () => show(null));
    thing.addEventListener("click", () => thing.focus());
  }

  function seek() {
    const word = input.value.trim().toLowerCase();
    const states = chips.filter((chip) => chip.getAttribute("aria-pressed") === "true")
      .map((chip) => chip.dataset.state);
    const sought = Boolean(word || states.length);
    const fits = (lane) => !states.length || states.includes(lane.dataset.state);
    const right = lanes.filter((lane) => fits(lane) && (!word || texts.get(lane).includes(word)));
    const covered = new Set(right.flatMap((lane) => [...pathOf.get(lane)]));
    const things = nodes.filter((node) => word && !covered.has(nameOf(node))
      && texts.get(node).includes(word));
    const ids = new Set(), passing = new Set(right);
    for (const node of things) {
      const group = together(node);
      const ours = group.lanes.filter(fits);
      for (const lane of ours) passing.add(lane);
      if (!group.lanes.length) ids.add(nameOf(node));
    }
    for (const lane of passing) for (const id of pathOf.get(lane)) ids.add(id);
    mark({ ids, lanes: passing }, "hit");
    for (const each of [...nodes, ...lanes]) each.classList.remove("match");
    matches = sought ? [...right, ...things.filter((node) => node.id && ids.has(node.id))] : [];
    if (word) for (const each of matches) each.classList.add("match");
    for (const svg of pictures) svg.classList.toggle("sought", sought);
    at = -1;
    const words = `${passing.size} of ${lanes.length} VIFs`;
    found.textContent = sought ? (matches.length ? words : "nothing found") : "";
  }

  function go(thing) {
    if (!thing) return;
    thing.focus({ preventScroll: true });
    thing.scrollIntoView({ block: "center", inline: "nearest" });
  }

  function step(by) {
    if (!matches.length) return;
    at = (at + by + matches.length) % matches.length;
    go(matches[at]);
    found.textContent = `${at + 1} of ${matches.length}`;
  }

  function clear() {
    input.value = "";
    for (const chip of chips) chip.setAttribute("aria-pressed", "false");
    seek();
    document.activeElement.blur();
    show(null);
  }

  input.addEventListener("input", seek);
  for (const chip of chips) {
    chip.addEventListener("click", () => {
      chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
      seek();
      if (matches.length && chip.getAttribute("aria-pressed") === "true") {
        matches[0].scrollIntoView({ block: "center" });
      }
    });
  }

  // The nearest thing in a direction: what lies straight ahead goes first.
  function next(from, key) {
    const side = key === "ArrowLeft" || key === "ArrowRight";
    const sign = key === "ArrowLeft" || key === "ArrowUp" ? -1 : 1;
    const spot = (thing) => {
      const shape = thing.querySelector(".box");
      const box = (shape || thing.querySelector(".state")).getBoundingClientRect();
      return { left: box.left, right: box.right, top: box.top, bottom: box.bottom,
        x: box.left + (shape ? box.width / 2 : 0), y: box.top + Math.min(box.height, 26) / 2 };
    };
    const here = spot(from);
    let best = null, least = Infinity;
    for (const thing of [...nodes, ...lanes]) {
      if (thing === from) continue;
      const there = spot(thing);
      const ahead = sign * (side ? there.x - here.x : there.y - here.y);
      if (ahead <= 2) continue;
      const low = side ? Math.max(there.top - here.y, here.y - there.bottom, 0)
        : Math.max(there.left - here.x, here.x - there.right, 0);
      const cost = ahead + 40 * low;
      if (cost < least) [best, least] = [thing, cost];
    }
    return best;
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const writing = document.activeElement === input;
    const here = document.activeElement?.told ? document.activeElement : null;
    if (event.key === "Escape") clear();
    else if (event.key === "Enter" && (writing || (here && matches.length))) step(event.shiftKey ? -1 : 1);
    else if (writing && event.key !== "ArrowDown") return;
    else if (event.key === "/") input.focus();
    else if (event.key === "n" || event.key === "p") {
      const ill = lanes.filter((lane) => lane.dataset.ill);
      const now = ill.indexOf(document.activeElement);
      go(ill[(now + (event.key === "n" ? 1 : now < 0 ? 0 : -1) + ill.length) % ill.length]);
    } else if (event.key === "Home" && here) go(lanes[0] || nodes[0]);
    else if (event.key === "End" && here) go(lanes.at(-1) || nodes.at(-1));
    else if (event.key.startsWith("Arrow") && (here || writing)) {
      go(here ? next(here, event.key) : (matches[0] || lanes[0] || nodes[0]));
    } else return;
    event.preventDefault();
  });

  // One of the picture's things is in the order of the Tab key; arrows lead to the others.
  const first = lanes[0] || nodes[0];
  if (first) first.setAttribute("tabindex", "0");

  const theme = document.querySelector("#theme");
  theme.addEventListener("click", () => {
    const root = document.documentElement;
    const now = themes[(themes.indexOf(root.dataset.theme || "auto") + 1) % themes.length];
    if (now === "auto") delete root.dataset.theme;
    else root.dataset.theme = now;
    theme.textContent = `theme: ${now}`;
  });

  // At the right edge, a mark for each VIF that needs attention.
  const marks = document.querySelector("#marks");
  for (const lane of lanes.filter((each) => each.dataset.ill)) {
    const spot = document.createElement("i");
    spot.className = lane.dataset.state;
    spot.addEventListener("click", () => go(lane));
    marks.append(spot);
    tops.set(spot, lane);
  }
  function spread() {
    const high = document.documentElement.scrollHeight;
    marks.hidden = high <= window.innerHeight;
    for (const [spot, lane] of tops) {
      const y = lane.getBoundingClientRect().top + window.scrollY;
      spot.style.top = `${(100 * y) / high}%`;
    }
  }
  window.addEventListener("resize", spread);
  spread();
})();
