// Zoom and search for the picture. Without scripts it is complete but for these.
(() => {
  "use strict";
  const MARGIN = 10, BOXES = 1180, CHARACTER = 7.25, PADDING = 3;
  const id = (name) => document.getElementById(name);

  // Narrow frames have no text yet.
  function makeText(group, rect) {
    const text = document.createElementNS("http://www.w3.org/2000/svg", "text");
    text.setAttribute("y", Number(rect.getAttribute("y")) + 12);
    return group.appendChild(text);
  }

  // Frames in the order of the file: a frame stands behind its parent. `parent` is a position, -1 for the first.
  const frames = Array.from(document.querySelectorAll("g"), (group) => {
    const rect = group.querySelector("rect");
    const text = group.querySelector("text") ?? makeText(group, rect);
    return {
      group, rect, text,
      parent: Number(group.getAttribute("data-p")) - 1,
      words: group.querySelector("title").textContent,
      name: group.getAttribute("data-n") || text.textContent,
      x: Number(rect.getAttribute("x")) - MARGIN,
      width: Number(rect.getAttribute("width")),
    };
  });
  if (frames.length === 0) return;
  let focus = 0;
  let query = "";

  // As much of a name as there is room for: outer namespaces go first, they are the same all around.
  function fitting(name, room) {
    let rest = name;
    while (rest.length + (rest === name ? 0 : 1) > room) {
      const at = rest.indexOf("::", 1);
      if (at < 0) break;
      rest = rest.slice(at + 2);
    }
    if (rest !== name) rest = "…" + rest;
    return rest.length <= room ? rest : rest.slice(0, room - 1) + "…";
  }

  function place(frame, x, width) {
    const room = Math.max(0, Math.floor((width - 2 * PADDING) / CHARACTER));
    frame.rect.setAttribute("x", MARGIN + x);
    frame.rect.setAttribute("width", width);
    frame.text.setAttribute("x", MARGIN + x + PADDING);
    frame.text.textContent = room < 3 && frame.name.length > room ? "" : fitting(frame.name, room);
  }

  function zoom(to) {
    focus = to;
    const above = new Set();
    for (let at = frames[to].parent; at >= 0; at = frames[at].parent) above.add(at);
    const scale = BOXES / frames[to].width;
    const within = [];
    frames.forEach((frame, at) => {
      within[at] = at === to || (frame.parent >= 0 && within[frame.parent]);
      const isShown = within[at] || above.has(at);
      frame.group.style.display = isShown ? "" : "none";
      frame.group.classList.toggle("above", above.has(at));
      if (above.has(at)) place(frame, 0, BOXES);
      else if (within[at]) place(frame, (frame.x - frames[to].x) * scale, frame.width * scale);
    });
    id("reset").setAttribute("visibility", to === 0 ? "hidden" : "visible");
  }

  // Text in upper or lower case, or a regular expression between slashes.
  function matcher(text) {
    const regular = /^\/(.+)\/(i?)$/.exec(text);
    if (regular) {
      try {
        const expression = new RegExp(regular[1], regular[2]);
        return (words) => expression.test(words);
      } catch {
        return () => false;
      }
    }
    const wanted = text.toLowerCase();
    return (words) => words.toLowerCase().includes(wanted);
  }

  function search(text) {
    query = text;
    const matches = text === "" ? () => false : matcher(text);
    // What lies below a match counts with it.
    const counted = [];
    let width = 0;
    frames.forEach((frame, at) => {
      const isMatch = at > 0 && matches(frame.words.split("\n").slice(0, -1).join("\n") || frame.name);
      frame.group.classList.toggle("match", isMatch);
      const isCounted = frame.parent >= 0 && counted[frame.parent];
      if (isMatch && !isCounted) width += frame.width;
      counted[at] = isMatch || isCounted;
    });
    id("found").textContent = text === "" ? "" : `${text}: ${((width * 100) / BOXES).toFixed(1)} %`;
    id("search").textContent = text === "" ? "Search" : "Clear search";
  }

  // The address holds zoom and search, so that "back" works and a link shows the same.
  function remember() {
    const parts = new URLSearchParams();
    if (focus > 0) parts.set("zoom", String(focus));
    if (query !== "") parts.set("q", query);
    const hash = "#" + parts.toString();
    if (hash !== (location.hash || "#")) location.hash = hash;
  }

  function recall() {
    const parts = new URLSearchParams(location.hash.slice(1));
    const to = Number(parts.get("zoom") || 0);
    zoom(Number.isInteger(to) && to >= 0 && to < frames.length ? to : 0);
    search(parts.get("q") || "");
  }

  function ask() {
    search(query === "" ? window.prompt("Function, module or file, or /a regular expression/") || "" : "");
    remember();
  }

  frames.forEach((frame, at) => {
    frame.group.setAttribute("tabindex", "0");
    const open = () => {
      zoom(at);
      remember();
    };
    frame.group.addEventListener("click", open);
    frame.group.addEventListener("keydown", (event) => event.key === "Enter" && open());
  });
  id("search").setAttribute("visibility", "visible");
  id("search").addEventListener("click", ask);
  id("reset").addEventListener("click", () => {
    zoom(0);
    remember();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/") {
      event.preventDefault();
      ask();
    } else if (event.key === "Escape") {
      zoom(Math.max(0, frames[focus].parent));
      remember();
    }
  });
  addEventListener("hashchange", recall);
  recall();
})();
