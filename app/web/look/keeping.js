// What stays of an answer in the browser: a file of it, and the questions of this tab, which are
// in its sessionStorage alone. The server's part is area.py; the template of the file is saved.py's.
() => {
  const PLACE = "kbvqa-past";
  const MOST = 12; // questions
  const SIDE = 1024; // pixels of a saved picture, as opinion.py has it
  const THUMB = 96;
  let chosen = null;

  const picture = () => document.querySelector("#picture img");
  const escaped = (text) => {
    const element = document.createElement("i");
    element.textContent = text;
    return element.innerHTML.replace(/"/g, "&quot;");
  };

  // The picture as JPEG in an address, no side longer than so many pixels; "data:," for none.
  const drawn = (side) => {
    const image = picture();
    if (!image?.naturalWidth) return "data:,";
    const scale = Math.min(side / Math.max(image.naturalWidth, image.naturalHeight), 1);
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(Math.round(image.naturalWidth * scale), 1);
    canvas.height = Math.max(Math.round(image.naturalHeight * scale), 1);
    const context = canvas.getContext("2d");
    [context.fillStyle, context.imageSmoothingQuality] = ["#fff", "high"];
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    return canvas.toDataURL("image/jpeg", 0.92);
  };

  const save = (name, type, text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };
  // kbvqa-who-built-this.html
  const named = (record, ending) => {
    const words = record.question.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
    return `kbvqa-${words.join("-").slice(0, 60) || "answer"}.${ending}`;
  };
  window.kbvqaSaveData = (kept) => {
    if (!kept) return;
    const { record } = JSON.parse(kept);
    save(named(record, "json"), "application/json", JSON.stringify(record, null, 2));
  };
  window.kbvqaSavePage = (kept, answer, passages, template) => {
    if (!kept) return;
    const { record, footer } = JSON.parse(kept);
    const question = escaped(record.question);
    const slots = { question, picture: drawn(SIDE), answer, passages, footer };
    const filled = template.replace(/<!--slot:(\w+)-->/g, (slot, name) => slots[name] ?? slot);
    save(named(record, "html"), "text/html", filled);
  };

  const past = () => {
    try {
      return JSON.parse(sessionStorage.getItem(PLACE)) ?? [];
    } catch {
      return [];
    }
  };
  // The earliest go where the browser has no room for all.
  const write = (entries) => {
    for (let kept = entries.slice(0, MOST); ; kept = kept.slice(0, -1)) {
      try {
        return sessionStorage.setItem(PLACE, JSON.stringify(kept));
      } catch {
        if (kept.length === 0) return undefined;
      }
    }
  };
  const list = () => {
    const area = document.querySelector("#past details");
    const entries = past();
    area.hidden = entries.length === 0;
    area.querySelector("b").textContent = entries.length;
    area.querySelector("ol").replaceChildren(...entries.map((entry) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      const image = document.createElement("img");
      [image.src, image.alt] = [entry.thumb, ""];
      const text = document.createElement("span");
      const answer = document.createElement("b");
      [text.textContent, answer.textContent] = [`${entry.alone || entry.question} `, entry.text];
      text.append(answer, entry.unsure ? " (not sure)" : "");
      button.append(image, text);
      button.addEventListener("click", () => {
        chosen = entry;
        document.getElementById("again").click();
      });
      item.append(button);
      return item;
    }));
  };
  window.kbvqaKeep = (kept, answer, passages, shown) => {
    if (!kept) return;
    const { record, path } = JSON.parse(kept);
    const entries = past();
    if (shown?.path !== path || entries.some((entry) => entry.id === record.id)) return;
    const { id, question, answer: text, asked_as: alone, unsure } = record;
    const said = { id, question, alone, text, unsure: Boolean(text && unsure) };
    const entry = { ...said, thumb: drawn(THUMB), kept, answer, passages, shown };
    write([entry, ...entries]);
    list();
  };
  // The components as they were: what is kept, answer, passages, picture, question.
  window.kbvqaAgain = () => {
    const { kept, answer, passages, shown, question } = chosen;
    return [kept, answer, passages, shown, question];
  };
  document.querySelector("#past .kb-forget").addEventListener("click", () => {
    sessionStorage.removeItem(PLACE);
    list();
  });
  list();
}
