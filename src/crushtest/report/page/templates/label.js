"use strict";
(() => {
  const form = document.getElementById("pairs");
  const pairs = [...form.querySelectorAll(".pair")];
  const sides = ["first", "second"];
  let unsaved = false;

  const labelOf = (pair, side) => {
    const chosen = pair.querySelector(`input[name="${pair.dataset.pair}-${side}"]:checked`);
    return chosen ? chosen.value : "";
  };
  const isDone = (pair) => sides.every((side) => labelOf(pair, side));
  const go = (pair) => {
    if (!pair) return;
    pair.focus({ preventScroll: true });
    pair.scrollIntoView({ block: "start" });
  };
  const current = () => {
    const inside = document.activeElement && document.activeElement.closest(".pair");
    return inside ? pairs.indexOf(inside) : -1;
  };
  const update = () => {
    pairs.forEach((pair) => pair.classList.toggle("done", isDone(pair)));
    document.getElementById("count").textContent = `${pairs.filter(isDone).length} of ${pairs.length} labelled`;
  };

  document.getElementById("accept").addEventListener("click", () => {
    document.getElementById("notice").hidden = true;
    form.hidden = false;
    go(pairs[0]);
  });

  form.addEventListener("change", () => {
    unsaved = true;
    update();
  });
  form.addEventListener("submit", (event) => event.preventDefault());

  document.addEventListener("keydown", (event) => {
    if (form.hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = current();
    if (event.key === "n" || event.key === "p") {
      go(pairs[at < 0 ? 0 : at + (event.key === "n" ? 1 : -1)]);
      event.preventDefault();
    } else if (at >= 0 && /^[1-6]$/.test(event.key)) {
      const number = Number(event.key) - 1;
      const side = sides[Math.floor(number / 3)];
      const radios = pairs[at].querySelectorAll(`input[name="${pairs[at].dataset.pair}-${side}"]`);
      radios[number % 3].checked = true;
      unsaved = true;
      update();
      event.preventDefault();
    }
  });

  // Half a pair is no label: it is saved as none, so that the file can always be read.
  document.getElementById("save").addEventListener("click", () => {
    const lines = pairs.filter(isDone).map((pair) => [pair.dataset.pair, ...sides.map((side) => labelOf(pair, side))]);
    const text = [["pair", "label_first", "label_second"], ...lines].map((line) => line.join(",")).join("\n") + "\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = "labels.csv";
    link.click();
    unsaved = false;
  });

  window.addEventListener("beforeunload", (event) => {
    if (unsaved) event.preventDefault();
  });
})();
