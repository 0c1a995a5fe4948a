// A frame over the picture: the part of it that is looked at. `window.kbvqaBox()` says which, in
// pixels of the picture, "left,upper,right,lower"; "" for the whole. `window.kbvqaPictureArea()`
// says where the picture lies within its element.
() => {
  const LEAST = 0.04; // of a side
  const STEP = 0.02;
  let frame = null; // {left, upper, right, lower} as shares of the picture; null for the whole
  const picture = () => document.querySelector("#picture img");
  const button = () => document.getElementById("crop");

  // Where the picture itself is within its element, which may be wider or higher.
  const area = () => {
    const image = picture();
    const box = image.getBoundingClientRect();
    const around = document.getElementById("picture").getBoundingClientRect();
    const [w, h] = [image.naturalWidth, image.naturalHeight];
    const scale = Math.min(box.width / w, box.height / h, 1);
    const [width, height] = [w * scale, h * scale];
    return {
      left: box.left - around.left + (box.width - width) / 2,
      top: box.top - around.top + (box.height - height) / 2,
      width,
      height,
    };
  };

  const overlay = document.createElement("div");
  overlay.id = "crop-area";
  overlay.innerHTML =
    '<div id="crop-frame" tabindex="0" role="group" aria-label="The part that is looked at. ' +
    'Arrow keys move it, with Shift they move its lower right corner.">' +
    ["nw", "ne", "sw", "se"].map((c) => `<i data-corner="${c}"></i>`).join("") + "</div>";
  const shown = overlay.firstChild;

  const draw = () => {
    const label = frame ? "Look at the whole picture" : "Look at a part of it";
    if (button() && button().textContent.trim() !== label) button().textContent = label;
    if (!frame || !picture()) return overlay.remove();
    const { left, top, width, height } = area();
    Object.assign(overlay.style, px({ left, top, width, height }));
    Object.assign(shown.style, px({
      left: frame.left * width,
      top: frame.upper * height,
      width: (frame.right - frame.left) * width,
      height: (frame.lower - frame.upper) * height,
    }));
    if (!overlay.isConnected) document.getElementById("picture").append(overlay);
  };
  const px = (sizes) =>
    Object.fromEntries(Object.entries(sizes).map(([name, size]) => [name, `${size}px`]));

  // Moves the edges that `corner` names, all of them for "", by shares of the picture.
  const drag = (from, corner, x, y) => {
    const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
    const moved = { ...from };
    if (!corner) {
      const dx = clamp(x, -from.left, 1 - from.right);
      const dy = clamp(y, -from.upper, 1 - from.lower);
      moved.left += dx;
      moved.right += dx;
      moved.upper += dy;
      moved.lower += dy;
    }
    if (corner.includes("w")) moved.left = clamp(from.left + x, 0, from.right - LEAST);
    if (corner.includes("e")) moved.right = clamp(from.right + x, from.left + LEAST, 1);
    if (corner.includes("n")) moved.upper = clamp(from.upper + y, 0, from.lower - LEAST);
    if (corner.includes("s")) moved.lower = clamp(from.lower + y, from.upper + LEAST, 1);
    frame = moved;
    draw();
  };

  overlay.addEventListener("pointerdown", (event) => {
    const { left, top, width, height } = overlay.getBoundingClientRect();
    const [x, y] = [(event.clientX - left) / width, (event.clientY - top) / height];
    const inside = event.target !== overlay;
    const corner = inside ? (event.target.dataset.corner ?? "") : "se";
    // Outside of the frame a new one is drawn.
    const [l, u] = [Math.min(x, 1 - LEAST), Math.min(y, 1 - LEAST)];
    const from = inside ? { ...frame } : { left: l, upper: u, right: l, lower: u };
    overlay.setPointerCapture(event.pointerId);
    const move = (to) =>
      drag(from, corner, (to.clientX - event.clientX) / width, (to.clientY - event.clientY) / height);
    overlay.addEventListener("pointermove", move);
    overlay.addEventListener(
      "lostpointercapture",
      () => overlay.removeEventListener("pointermove", move),
      { once: true },
    );
    event.preventDefault();
    shown.focus();
  });
  shown.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const [x, y] = way[event.key] ?? [0, 0];
    if (!x && !y) return;
    event.preventDefault();
    drag({ ...frame }, event.shiftKey ? "se" : "", x * STEP, y * STEP);
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("#crop")) {
      frame = frame ? null : { left: 0.2, upper: 0.2, right: 0.8, lower: 0.8 };
      draw();
      if (frame) shown.focus();
    } else if (event.target.closest("button.example")) {
      frame = null;
      draw();
    }
  }, true);
  // Another picture, or none: the frame was of the old one.
  let source = null;
  new MutationObserver(() => {
    const now = picture()?.src ?? null;
    if (now === source) return;
    source = now;
    frame = null;
    draw();
  }).observe(document.getElementById("picture"), {
    subtree: true, childList: true, attributes: true, attributeFilter: ["src"],
  });
  window.addEventListener("resize", draw);

  window.kbvqaPictureArea = () => (picture() ? area() : null);
  window.kbvqaBox = () => {
    const image = picture();
    if (!frame || !image?.naturalWidth) return "";
    const [w, h] = [image.naturalWidth, image.naturalHeight];
    const edges = [frame.left * w, frame.upper * h, frame.right * w, frame.lower * h].map(Math.round);
    return [edges[0], edges[1], Math.max(edges[2], edges[0] + 1), Math.max(edges[3], edges[1] + 1)]
      .join(",");
  };
}
