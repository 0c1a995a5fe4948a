"use strict";
// The sheet of examples: only the rows in view are in the page, and what comes from a benchmark or a
// generator is only ever set as text.
(() => {
  const FATES = /*FATES*/[];
  const RIGHT = 0.5;
  const STATUS = {given: "given", unsure: "unsure", withheld: "withheld", failed: "failed", "": "retrieval alone"};
  const GIVEN = {
    retrieved: "as retrieved", none: "without passages", gold: "with the gold passages",
    distractors: "with another question's passages",
  };
  const [GOLD, READ, CITED] = [1, 2, 4];
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("sheet").textContent);
  const chunks = new Map();
  const list = $("list");
  let shown = [];
  let fates = new Set();
  let drawn = new Map();
  let open = -1;

  // Of a row, and of what became of it in a view: see sheet.py.
  const [ID, QUESTION, ANSWERS, GROUPS, PICTURE, GOLD_IDS] = [0, 1, 2, 3, 4, 5];
  const [FATE, STATE, TEXT, SCORE, CONFIDENCE, REASON, HITS] = [0, 1, 2, 3, 4, 5, 6];

  function chunked(kind, number) {
    const name = `${kind}-${Math.floor(number / data.chunk)}`;
    if (!chunks.has(name)) {
      const element = $(name);
      chunks.set(name, element ? JSON.parse(element.textContent) : []);
    }
    return chunks.get(name)[number % data.chunk];
  }

  function make(tag, className, text) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function picture(row) {
    const number = data.rows[row][PICTURE];
    const uri = number < 0 ? "" : chunked("pictures", number);
    if (!uri) return null;
    const image = make("img");
    image.src = uri;
    image.alt = "";
    return image;
  }

  function option(select, value, text) {
    const element = make("option", "", text);
    element.value = value;
    select.append(element);
  }

  const viewName = (view) => `${view.run} · ${GIVEN[view.condition]}`;
  const slug = (fate) => `fate-${fate.replaceAll(" ", "-")}`;
  const isRight = (cell) => cell !== null && cell[SCORE] !== null && cell[SCORE] >= RIGHT;
  const column = () => data.columns[Number($("view").value)];
  const haystacks = data.rows.map((row) => `${row[ID]}\n${row[QUESTION]}\n${row[ANSWERS].join("\n")}`.toLowerCase());

  // Whether a row is shown, but for its fate: chips say how many each of those would show.
  function matching() {
    const cells = column();
    const other = $("other").value === "" ? null : data.columns[Number($("other").value)];
    const [words, group, status, change] = [
      $("search").value.toLowerCase().split(/\s+/).filter(Boolean),
      $("group").value, $("status").value, $("change").value,
    ];
    const found = [];
    cells.forEach((cell, row) => {
      if (cell === null) return;
      if (group && !data.rows[row][GROUPS].includes(group)) return;
      if (status && cell[STATE] !== status) return;
      if (words.length) {
        const text = `${haystacks[row]}\n${cell[TEXT].toLowerCase()}`;
        if (!words.every((word) => text.includes(word))) return;
      }
      if (other && change) {
        const there = other[row];
        if (there === null || isRight(cell) === isRight(there)) return;
        if (isRight(cell) !== (change === "won")) return;
      }
      found.push(row);
    });
    return found;
  }

  function apply() {
    const cells = column();
    const found = matching();
    const counts = new Map();
    found.forEach((row) => counts.set(cells[row][FATE], (counts.get(cells[row][FATE]) || 0) + 1));
    const chips = FATES.filter((fate) => cells.some((cell) => cell !== null && cell[FATE] === fate));
    fates = new Set([...fates].filter((fate) => chips.includes(fate)));
    $("fates").replaceChildren(...chips.map((fate) => {
      const chip = make("button", slug(fate));
      chip.type = "button";
      chip.dataset.fate = fate;
      chip.setAttribute("aria-pressed", fates.has(fate));
      chip.append(make("i", `key ${slug(fate)}`), `${fate} `, make("b", "", (counts.get(fate) || 0).toLocaleString("en")));
      return chip;
    }));
    shown = fates.size ? found.filter((row) => fates.has(cells[row][FATE])) : found;
    const asked = cells.filter((cell) => cell !== null).length;
    $("count").textContent = `${shown.length.toLocaleString("en")} of ${asked.toLocaleString("en")} examples`;
    $("change-label").hidden = $("other").value === "";
    drawn.clear();
    list.replaceChildren();
    if (!shown.length) list.append(make("p", "empty", "No example is like that."));
    draw();
  }

  function draw() {
    if (!shown.length) {
      list.style.height = "auto";
      return;
    }
    const height = parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row"));
    list.style.height = `${height * shown.length}px`;
    const top = -list.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / height) - 6);
    const last = Math.min(shown.length, Math.ceil((top + innerHeight) / height) + 6);
    for (const [position, element] of drawn) {
      if (position < first || position >= last) {
        element.remove();
        drawn.delete(position);
      }
    }
    for (let position = first; position < last; position++) {
      if (!drawn.has(position)) {
        const element = item(position);
        element.style.top = `${position * height}px`;
        drawn.set(position, element);
        list.append(element);
      } else {
        drawn.get(position).style.top = `${position * height}px`;
      }
    }
  }

  function item(position) {
    const row = shown[position];
    const [example, cell] = [data.rows[row], column()[row]];
    const element = make("li");
    element.setAttribute("aria-setsize", shown.length);
    element.setAttribute("aria-posinset", position + 1);
    const button = make("button");
    button.type = "button";
    button.dataset.position = position;
    const thumb = make("span", "thumb");
    thumb.append(picture(row) || (example[PICTURE] < 0 ? "no picture" : "missing"));
    const asked = make("span", "q two", example[QUESTION]);
    const said = make("span", "a");
    const answer = make("b", "one", cell[TEXT] || (cell[STATE] ? "no answer" : ""));
    answer.style.display = "block";
    const gold = make("span", "one", example[ANSWERS].length ? `gold: ${[...new Set(example[ANSWERS])].join(" / ")}` : "");
    gold.style.display = "block";
    said.append(answer, gold);
    button.append(thumb, asked, said, make("span", `chip ${slug(cell[FATE])}`, cell[FATE]));
    element.append(button);
    return element;
  }

  function detail(position) {
    open = position;
    const row = shown[position];
    const example = data.rows[row];
    const body = make("div");
    const asked = make("div", "asked");
    const side = make("div");
    side.append(picture(row) || make("p", "label", example[PICTURE] < 0 ? "A question without a picture." : "The picture is missing."));
    const words = make("div");
    words.append(make("h3", "", example[QUESTION]));
    if (example[ANSWERS].length) words.append(labelled("Right", [...new Set(example[ANSWERS])].join(" / ")));
    if (example[GOLD_IDS].length) words.append(labelled("Gold passages", example[GOLD_IDS].join(", ")));
    if (example[GROUPS].length) words.append(labelled("Of", example[GROUPS].join(", ")));
    words.append(labelled("Id", example[ID]));
    asked.append(side, words);
    body.append(asked);
    const chosen = Number($("view").value);
    const order = [chosen, ...data.views.keys()].filter((view, i, all) => all.indexOf(view) === i);
    for (const view of order) {
      const cell = data.columns[view][row];
      if (cell !== null) body.append(reply(data.views[view], cell, view === chosen));
    }
    $("detail-body").replaceChildren(body);
    $("position").textContent = `${(position + 1).toLocaleString("en")} of ${shown.length.toLocaleString("en")}`;
    $("previous").disabled = position === 0;
    $("next").disabled = position === shown.length - 1;
    if (!$("detail").open) $("detail").showModal();
    $("detail").scrollTop = 0;
  }

  function labelled(name, text) {
    const line = make("p");
    line.append(make("span", "label", `${name}: `), text);
    return line;
  }

  function reply(view, cell, first) {
    const box = make("div", "reply");
    const head = make("header");
    head.append(make("span", "label", viewName(view)), make("span", `chip ${slug(cell[FATE])}`, cell[FATE]));
    box.append(head);
    if (cell[STATE]) box.append(make("p", "said", cell[TEXT] || "No answer"));
    const facts = [];
    if (cell[SCORE] !== null) facts.push(`${view.metric} ${cell[SCORE].toFixed(2)}`);
    if (cell[CONFIDENCE] !== null) facts.push(`confidence ${cell[CONFIDENCE].toFixed(2)}`);
    if (cell[STATE] && cell[STATE] !== "given") facts.push(STATUS[cell[STATE]]);
    if (cell[REASON]) facts.push(cell[REASON]);
    if (facts.length) box.append(make("p", "label", facts.join(" · ")));
    if (cell[HITS].length) {
      const hits = make("ol", "hits");
      cell[HITS].forEach(([number, score, flags]) => {
        const [id, title, text] = chunked("passages", number);
        const line = make("li");
        line.append(make("b", "", title || id));
        if (flags & GOLD) line.append(make("span", "flag gold", "gold"));
        if (flags & CITED) line.append(make("span", "flag", "cited"));
        else if (flags & READ) line.append(make("span", "flag", "read"));
        if (score !== null) line.append(make("span", "flag", score.toFixed(1)));
        if (text && first) line.append(make("p", "", text));
        hits.append(line);
      });
      box.append(hits);
    }
    return box;
  }

  function step(by) {
    const position = open + by;
    if (position >= 0 && position < shown.length) detail(position);
  }

  data.views.forEach((view, i) => option($("view"), i, viewName(view)));
  option($("other"), "", "nothing");
  data.views.forEach((view, i) => option($("other"), i, viewName(view)));
  $("other-label").hidden = data.views.length < 2;
  const groups = [...new Set(data.rows.flatMap((row) => row[GROUPS]))].sort();
  option($("group"), "", "all");
  groups.forEach((group) => option($("group"), group, group));
  $("group-label").hidden = groups.length < 2;
  const states = new Set(data.columns.flatMap((cells) => cells.map((cell) => (cell ? cell[STATE] : ""))));
  option($("status"), "", "all");
  Object.keys(STATUS).filter((s) => s && states.has(s)).forEach((s) => option($("status"), s, STATUS[s]));
  $("status-label").hidden = $("status").length < 3;

  $("filters").hidden = false;
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("filters").addEventListener("input", apply);
  $("fates").addEventListener("click", (event) => {
    const chip = event.target.closest("button");
    if (!chip) return;
    const {fate} = chip.dataset;
    if (!fates.delete(fate)) fates.add(fate);
    apply();
  });
  list.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) detail(Number(button.dataset.position));
  });
  document.querySelectorAll(".bar button").forEach((part) => part.addEventListener("click", () => {
    $("view").value = part.dataset.view;
    fates = new Set([part.dataset.fate]);
    apply();
    $("examples").scrollIntoView({behavior: "smooth"});
  }));
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("close").addEventListener("click", () => $("detail").close());
  $("detail").addEventListener("click", (event) => {
    if (event.target === $("detail")) $("detail").close();
  });
  $("detail").addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  addEventListener("scroll", draw, {passive: true});
  addEventListener("resize", draw);
  apply();
})();
