// Drops and files that Gradio would refuse in words of its own, or without any.
() => {
  // Its name for screen readers is what stands on it.
  new MutationObserver(() => {
    const empty = document.querySelector("#picture button.upload-container[aria-label]");
    if (empty) empty.removeAttribute("aria-label");
  }).observe(document.getElementById("picture"), { subtree: true, childList: true });
  document.querySelector("#picture button.upload-container")?.removeAttribute("aria-label");
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("#answer .kb-again")) document.getElementById("ask").click();
  });
  const inPicture = (event) => event.target.closest?.("#picture");
  // The shown picture is not taken up by the mouse: dropped where it was, it would be lost.
  document.addEventListener("dragstart", (event) => {
    if (inPicture(event)) event.preventDefault();
  }, true);
  const isOdd = (file) => !file.type.startsWith("image/");
  // Gradio looks at the name's type alone: the server says what is wrong with such a file.
  const asPictures = (files) => {
    const carried = new DataTransfer();
    for (const file of files) {
      carried.items.add(isOdd(file) ? new File([file], file.name, { type: "image/unknown" }) : file);
    }
    return carried;
  };
  document.addEventListener("drop", (event) => {
    if (!inPicture(event)) return;
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length === 0) {
      document.getElementById("not-a-file").click();
    } else if (files.some(isOdd)) {
      event.preventDefault();
      event.stopImmediatePropagation();
      event.target.dispatchEvent(
        new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: asPictures(files) }),
      );
    }
  }, true);
  document.addEventListener("change", (event) => {
    const input = event.target;
    if (!inPicture(event) || input.type !== "file" || ![...input.files].some(isOdd)) return;
    event.stopImmediatePropagation();
    input.files = asPictures(input.files).files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }, true);
}
