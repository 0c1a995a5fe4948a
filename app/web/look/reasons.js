// Why a passage was found, drawn: picking a passage or a word of it lays a map over the picture,
// of where in it the match was found. What is drawn comes with the passages: see reasons.py.
() => {
  const CELL = 12; // pixels of the map for each place, before the browser stretches it
  const OPACITY = 0.6;
  let chosen = null; // {passage: id of its card, word: number or null for the whole passage}
  const opened = new Set(); // what the user opened, by keyOf
  const keyOf = (details) => `${details.closest(".kb-card")?.id ?? ""} ${details.className}`;

  const section = () => document.querySelector("#passages .kb-passages");
  const card = () => chosen && document.getElementById(chosen.passage);
  const picture = () => document.querySelector("#picture img");
  const numbers = (name) => (section()?.dataset[name] ?? "").split(",").map(Number);

  // The similarity of each place with the passage (null) or one of its words.
  const heatOf = (element, word) => {
    const told = element.querySelector(".kb-why")?.dataset.heat;
    if (!told) return null;
    const { low, high, levels } = JSON.parse(told);
    const bytes = Uint8Array.from(atob(levels), (c) => c.charCodeAt(0));
    const [rows, columns] = numbers("grid");
    const from = (word === null ? 0 : word + 1) * rows * columns;
    return Array.from(
      bytes.subarray(from, from + rows * columns), (b) => low + ((high - low) * b) / 255,
    );
  };

  // A canvas with the heat, coldest to hottest, interpolated between the middles of the places.
  const drawn = (heat) => {
    const [rows, columns] = numbers("grid");
    const ramp = numbers("ramp");
    const [low, high] = [Math.min(...heat), Math.max(...heat)];
    const share = (r, c) => (high > low ? (heat[r * columns + c] - low) / (high - low) : 0);
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [columns * CELL, rows * CELL];
    const context = canvas.getContext("2d");
    const image = context.createImageData(canvas.width, canvas.height);
    const between = (pixel, count) => {
      const place = Math.min(Math.max((pixel + 0.5) / CELL - 0.5, 0), count - 1);
      const first = Math.min(Math.floor(place), Math.max(count - 2, 0));
      return [first, Math.min(first + 1, count - 1), place - first];
    };
    const colours = ramp.length / 3 - 1;
    for (let y = 0; y < canvas.height; y++) {
      const [top, below, dy] = between(y, rows);
      for (let x = 0; x < canvas.width; x++) {
        const [left, right, dx] = between(x, columns);
        const value =
          (share(top, left) * (1 - dx) + share(top, right) * dx) * (1 - dy) +
          (share(below, left) * (1 - dx) + share(below, right) * dx) * dy;
        const step = Math.min(Math.floor(value * colours), colours - 1);
        const at = 4 * (y * canvas.width + x);
        for (let channel = 0; channel < 3; channel++) {
          const [a, b] = [ramp[3 * step + channel], ramp[3 * (step + 1) + channel]];
          image.data[at + channel] = a + (b - a) * (value * colours - step);
        }
        image.data[at + 3] = 255 * OPACITY;
      }
    }
    context.putImageData(image, 0, 0);
    return canvas;
  };

  // The map over a picture that fills `host`: placed on what was looked at, the rest darkened.
  const layer = (heat) => {
    const [left, upper, right, lower] = numbers("frame").map((share) => `${100 * share}%`);
    const within = document.createElement("div");
    within.className = "kb-heat";
    const canvas = drawn(heat);
    Object.assign(canvas.style, {
      left, top: upper, width: `calc(${right} - ${left})`, height: `calc(${lower} - ${upper})`,
    });
    within.append(canvas);
    return within;
  };

  const name = (heat) => {
    const [rows, columns] = numbers("grid");
    const hottest = heat.indexOf(Math.max(...heat));
    const third = (place, count) => Math.min(Math.floor((3 * (place + 0.5)) / count), 2);
    const row = ["upper", "middle", "lower"][third(Math.floor(hottest / columns), rows)];
    const column = ["left", "centre", "right"][third(hottest % columns, columns)];
    return row === "middle" && column === "centre" ? "middle" : `${row} ${column}`;
  };

  const wordOf = (element, word) =>
    [...element.querySelectorAll(`i[data-word="${word}"]`)].map((i) => i.textContent).join("") ||
    element.querySelector(`button[data-word="${word}"]`)?.textContent || "";

  const overlay = document.createElement("div");
  overlay.id = "heat-area";
  const place = () => {
    const area = overlay.isConnected && window.kbvqaPictureArea();
    if (!area) return;
    for (const side of ["left", "top", "width", "height"]) overlay.style[side] = `${area[side]}px`;
  };

  // How far down the screen the open panel is: what is read should not move away.
  let top = null;
  const heightOf = () => card()?.querySelector(".kb-why")?.getBoundingClientRect().top ?? null;
  const remember = () => {
    const box = card()?.getBoundingClientRect();
    top = box && box.bottom > 0 && box.top < window.innerHeight ? heightOf() : null;
  };

  const clear = () => {
    overlay.remove();
    for (const map of document.querySelectorAll(".kb-map-picture")) map.remove();
    for (const told of document.querySelectorAll(".kb-map figcaption")) told.textContent = "";
    for (const shown of document.querySelectorAll("#passages [data-chosen]"))
      shown.removeAttribute("data-chosen");
    for (const button of document.querySelectorAll('#passages button[aria-pressed="true"]'))
      button.setAttribute("aria-pressed", "false");
  };

  const show = () => {
    clear();
    const element = card();
    const figure = element?.querySelector(".kb-map");
    const heat = figure && heatOf(element, chosen.word);
    if (!heat || !picture()) return;
    const { word } = chosen;
    if (word !== null) {
      for (const part of element.querySelectorAll(`[data-word="${word}"]`)) {
        part.setAttribute("data-chosen", "");
        if (part.matches("button")) part.setAttribute("aria-pressed", "true");
      }
    }
    overlay.replaceChildren(layer(heat));
    document.getElementById("picture").append(overlay);
    place();
    const copy = document.createElement("div");
    copy.className = "kb-map-picture";
    const image = document.createElement("img");
    image.src = picture().src;
    image.alt = "";
    copy.append(image, layer(heat));
    figure.prepend(copy);
    const what = word === null ? "this passage" : `“${wordOf(element, word)}”`;
    const [low, high] = [Math.min(...heat), Math.max(...heat)].map((s) => s.toFixed(2));
    const [rows, columns] = numbers("grid");
    const strongest = low === high ? "alike everywhere" : `most in the ${name(heat)}`;
    const told = figure.querySelector("figcaption");
    told.innerHTML =
      '<span class="kb-ramp" aria-hidden="true"><span></span><i></i><span></span></span><span></span>';
    const [ramp, text] = told.children;
    [ramp.firstChild.textContent, ramp.lastChild.textContent] = [low, high];
    const stops = numbers("ramp");
    const colours = stops.filter((_, i) => i % 3 === 0)
      .map((_, i) => `rgb(${stops.slice(3 * i, 3 * i + 3).join(" ")})`);
    ramp.children[1].style.background = `linear-gradient(to right, ${colours.join(", ")})`;
    text.textContent =
      `Where in the picture ${what} was found: ${strongest} (similarity ${low} to ${high}, ` +
      `${rows} × ${columns} places). A place has seen what is around it too.`;
  };

  const choose = (element, word) => {
    const details = element.querySelector(".kb-why");
    if (!details) return;
    chosen = { passage: element.id, word };
    for (const other of document.querySelectorAll("#passages .kb-why[open]"))
      if (other !== details) {
        other.open = false;
        opened.delete(keyOf(other));
      }
    details.open = true;
    opened.add(keyOf(details));
    show();
    remember();
  };

  document.addEventListener("click", (event) => {
    const word = event.target.closest?.("#passages [data-word]");
    if (word) {
      const element = word.closest(".kb-card");
      const number = Number(word.dataset.word);
      const again = chosen?.passage === element.id && chosen.word === number;
      choose(element, again ? null : number);
      if (!word.matches("button"))
        element.querySelector(".kb-map")?.scrollIntoView({ block: "nearest" });
    }
    // A citation opens what the generator was given.
    const chip = event.target.closest?.("#answer a.kb-chip");
    const given = chip && document.querySelector(`${chip.getAttribute("href")} .kb-given`);
    if (given) given.open = true;
  });
  // Not a click: the keyboard opens it as well.
  document.addEventListener("toggle", (event) => {
    if (!event.target.matches?.("#passages details")) return;
    opened[event.target.open ? "add" : "delete"](keyOf(event.target));
    if (!event.target.matches(".kb-why")) return;
    const element = event.target.closest(".kb-card");
    if (event.target.open) {
      if (chosen?.passage !== element.id) choose(element, null);
    } else if (chosen?.passage === element.id) {
      chosen = null;
      clear();
    }
  }, true);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !chosen) return;
    const details = card()?.querySelector(".kb-why");
    details?.removeAttribute("open");
    if (details?.contains(document.activeElement)) details.querySelector("summary").focus();
  });
  // Gradio makes the passages what they are with the answer, and so closes what is open: it is
  // opened again before anybody sees that. Another question's passages are others.
  new MutationObserver(() => {
    if (!section()) opened.clear();
    for (const details of document.querySelectorAll("#passages details:not([open])"))
      if (opened.has(keyOf(details)) && !details.matches(".kb-why")) details.open = true;
    if (!chosen) return;
    const details = card()?.querySelector(".kb-why");
    if (!details) {
      chosen = null;
      clear();
    } else if (!details.open) {
      const before = top;
      choose(card(), chosen.word);
      if (before !== null) window.scrollBy({ top: heightOf() - before, behavior: "instant" });
      remember();
    }
  }).observe(document.getElementById("passages"), { subtree: true, childList: true });
  window.addEventListener("resize", place);
  window.addEventListener("scroll", remember, { passive: true });
}
