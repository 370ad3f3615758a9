"use strict";
/* The page works without this but for its plots and the table of items. Texts of the study enter the document as text
   nodes and attribute values only, never as markup. */
(() => {
  const byId = (id) => document.getElementById(id);
  const readJson = (element) => JSON.parse(element.textContent);

  function make(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (value === undefined || value === null) continue;
      if (typeof value === "boolean" && !name.startsWith("aria-")) element.toggleAttribute(name, value);
      else if (name === "class") element.className = value;
      else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, String(value));
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  /* ---- plots ---------------------------------------------------------------------------------- */

  const config = readJson(byId("plot-config"));
  const tooltip = make("div", { id: "tooltip", hidden: true, "aria-hidden": "true" });
  document.body.append(tooltip);

  function showTooltip(handler, event, item, value) {
    if (value === null || value === undefined || value === "") {
      tooltip.hidden = true;
      return;
    }
    const lines = typeof value === "object" ? Object.entries(value).map(([key, text]) => `${key}: ${text}`) : [String(value)];
    tooltip.replaceChildren(...lines.map((line) => make("div", {}, line)));
    tooltip.hidden = false;
    const box = tooltip.getBoundingClientRect();
    tooltip.style.left = `${Math.max(4, Math.min(event.clientX + 12, innerWidth - box.width - 8))}px`;
    tooltip.style.top = `${event.clientY + 14 + box.height > innerHeight ? event.clientY - box.height - 10 : event.clientY + 14}px`;
  }

  const drawings = new Map();

  function draw(figure) {
    if (!drawings.has(figure)) drawings.set(figure, embed(figure));
    return drawings.get(figure);
  }

  async function embed(figure) {
    const canvas = figure.querySelector(".canvas");
    const options = { mode: "vega-lite", renderer: "svg", ast: true, actions: false, defaultStyle: false, config, tooltip: showTooltip };
    await window.vegaEmbed(canvas, readJson(figure.querySelector(".spec")), options);
    canvas.classList.add("drawn");
    sized.observe(canvas);
  }

  // Whoever has no pointer scrolls a figure that is wider than the page with the keyboard, so it takes the focus then.
  const sized = new ResizeObserver((entries) => entries.forEach(({ target }) => {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }));

  const figures = [...document.querySelectorAll("figure.plot")];
  const nearby = new IntersectionObserver(
    (entries) => entries.forEach((entry) => { if (entry.isIntersecting) { nearby.unobserve(entry.target); draw(entry.target); } }),
    { rootMargin: "600px" },
  );
  figures.forEach((figure) => nearby.observe(figure));
  const whenIdle = window.requestIdleCallback || ((callback) => setTimeout(callback, 50));
  const drawNext = async (rest) => {
    if (rest.length === 0) return;
    await draw(rest[0]);
    whenIdle(() => drawNext(rest.slice(1)));
  };
  window.addEventListener("load", () => whenIdle(() => drawNext(figures)));

  // A figure grows when it is drawn and pushes down what a link has just led to, unless the reader has moved on.
  async function holdTarget() {
    const target = location.hash.length > 1 && byId(location.hash.slice(1));
    if (!target) return;
    const moved = new AbortController();
    ["wheel", "touchmove", "keydown", "pointerdown"].forEach((event) => window.addEventListener(event, () => moved.abort(), { signal: moved.signal, passive: true }));
    const above = figures.filter((figure) => figure.compareDocumentPosition(target) & Node.DOCUMENT_POSITION_FOLLOWING);
    await Promise.all(above.map(draw));
    if (!moved.signal.aborted) target.scrollIntoView();
    moved.abort();
  }
  window.addEventListener("load", holdTarget);
  window.addEventListener("hashchange", holdTarget);
  window.addEventListener("beforeprint", () => document.querySelectorAll(".verdict, .arm-detail").forEach((part) => { part.open = true; }));

  /* ---- sorting the matrices ------------------------------------------------------------------- */

  function sortTable(header) {
    const table = header.closest("table");
    const column = [...header.parentElement.children].indexOf(header);
    const descending = header.getAttribute("aria-sort") !== "descending";
    if (table.id === "overview-table" && byId("overview-order")) byId("overview-order").value = "";
    table.querySelectorAll("[aria-sort]").forEach((other) => other.setAttribute("aria-sort", "none"));
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const value = (row) => { const text = row.children[column].dataset.v; return text === undefined ? null : Number(text); };
    const rows = [...table.tBodies[0].rows].map((row, place) => ({ row, place, value: value(row) }));
    rows.sort((a, b) => {
      if (a.value === null || b.value === null) return (a.value === null) - (b.value === null) || a.place - b.place;
      return (descending ? b.value - a.value : a.value - b.value) || a.place - b.place;
    });
    table.tBodies[0].append(...rows.map((entry) => entry.row));
  }
  document.querySelectorAll(".matrix .sort").forEach((button) => button.addEventListener("click", () => sortTable(button.closest("th"))));

  /* ---- overview: one arm to compare with at a time -------------------------------------------- */

  function againstChooser() {
    const select = byId("overview-against");
    if (select === null) return;
    const tables = [...document.querySelectorAll(".overview-of")];
    const show = () => tables.forEach((table, place) => { table.hidden = String(place) !== select.value; });
    select.replaceChildren(...tables.map((table, place) => make("option", { value: String(place) }, table.dataset.against)));
    select.addEventListener("change", show);
    show();
  }
  againstChooser();

  /* ---- overview: order, filters, and the cards behind it --------------------------------------- */

  const MOST_WITH_INTERVALS = 12;

  function overviewControls() {
    byId("overview-controls").hidden = false;
    const order = byId("overview-order");
    if (order === null) return;
    const table = byId("overview-table");
    const method = byId("overview-method");
    const size = byId("overview-size");
    const intervals = byId("overview-intervals");
    const tables = [...document.querySelectorAll(".overview-of")];
    const number = (row, key) => (row.dataset[key] === undefined ? Infinity : Number(row.dataset[key]));
    const sort = () => {
      const descending = order.value.startsWith("-");
      const key = order.value.replace("-", "");
      const sorted = [...table.tBodies[0].rows].sort((a, b) => (descending ? number(b, key) - number(a, key) : number(a, key) - number(b, key)) || number(a, "place") - number(b, "place"));
      table.querySelectorAll("[aria-sort]").forEach((header) => header.setAttribute("aria-sort", "none"));
      table.tBodies[0].append(...sorted);
    };
    const fits = (row) => (!method || !method.value || row.dataset.method === method.value) && (!size.value || number(row, "size") <= Number(size.value));
    const filter = () => document.querySelectorAll(".overview-of tbody tr, .verdict").forEach((row) => { row.hidden = !fits(row); });
    const dense = () => tables.forEach((part) => part.classList.toggle("compact", !intervals.checked));
    order.addEventListener("change", sort);
    [method, size].filter(Boolean).forEach((select) => select.addEventListener("change", filter));
    intervals.checked = table.tBodies[0].rows.length <= MOST_WITH_INTERVALS;
    intervals.addEventListener("change", dense);
    dense();
  }
  overviewControls();

  function openCard() {
    const card = location.hash.length > 1 && byId(location.hash.slice(1));
    if (!card || !card.classList.contains("verdict")) return;
    card.open = true;
    card.scrollIntoView();
  }
  openCard();
  window.addEventListener("hashchange", openCard);
  document.querySelectorAll("a[href^='#arm-']").forEach((link) => link.addEventListener("click", () => setTimeout(openCard)));

  /* ---- groups: one table at a time ------------------------------------------------------------ */

  function fill(select, values, chosen) {
    select.replaceChildren(...values.map(([value, text]) => make("option", { value, selected: value === chosen }, text)));
  }

  function groupChooser() {
    const tables = [...document.querySelectorAll(".group-table")];
    if (tables.length === 0) return;
    const measure = byId("group-measure");
    const attribute = byId("group-attribute");
    const unique = (values) => [...new Set(values)].map((value) => [value, value]);
    const first = tables.reduce((best, table) => (Number(table.dataset.interest) > Number(best.dataset.interest) ? table : best));
    const show = () => tables.forEach((table) => {
      table.hidden = table.dataset.measure !== measure.value || table.dataset.attribute !== attribute.value;
    });
    const fillAttributes = (wanted) => {
      const fitting = tables.filter((table) => table.dataset.measure === measure.value).map((table) => table.dataset.attribute);
      fill(attribute, unique(fitting), fitting.includes(wanted) ? wanted : fitting[0]);
      show();
    };
    fill(measure, unique(tables.map((table) => table.dataset.measure)), first.dataset.measure);
    fillAttributes(first.dataset.attribute);
    measure.addEventListener("change", () => fillAttributes(attribute.value));
    attribute.addEventListener("change", show);
  }
  groupChooser();

  /* ---- items ---------------------------------------------------------------------------------- */

  const PAGE = 25;
  const bits = (answer) => -answer.logprob / answer.bytes / Math.LN2;
  const data = readJson(byId("item-data"));
  const rows = data.tasks.flatMap((task) => task.rows.map(([arm, item, answer, size, outcomes, blurred], place) => ({
    task, rank: place, arm, item: task.items[item], answer, size, outcomes, blurred,
    key: [task.name, task.items[item].id, data.arms[arm]].map(encodeURIComponent).join("/"),
  })));
  rows.forEach((row) => {
    row.words = outcomeWords(row).map((outcome) => outcome.text);
    row.text = [row.item.id, row.item.prompt, ...(row.item.options || []), row.item.dense.text || "", row.answer.text || ""].join("\n").toLowerCase();
  });
  const state = { page: 0, sort: "rank", descending: false, open: new Set(), shown: new Set() };

  function outcomeWords(row) {
    if (row.outcomes.length) {
      return row.outcomes.map(([label, change, good]) => ({ text: `${change > 0 ? "+" : "−"} ${label}`, good }));
    }
    if (row.task.kind === "passages") {
      const change = bits(row.answer) - bits(row.item.dense);
      return [{ text: change > 0 ? "less likely" : "more likely", good: change < 0 }];
    }
    return [{ text: row.task.kind === "choices" ? "another option" : "another text", good: null }];
  }

  function answerText(row, answer) {
    if (row.task.kind === "choices") return (row.item.options[answer.chosen] || "").trim() || "(empty option)";
    if (row.task.kind === "passages") return `${bits(answer).toFixed(3)} bits per byte`;
    return answer.text.trim() === "" ? "(empty)" : answer.text.trim();
  }

  function hidden(row, texts) {
    return (row.blurred & texts) !== 0 && !byId("item-unblur").checked && !state.shown.has(row.key);
  }

  function shownText(row, answer) {
    const hide = hidden(row, answer === row.answer ? 2 : 1);
    const own = answerText(row, answer);
    const other = answerText(row, answer === row.answer ? row.item.dense : row.answer);
    const shown = row.task.kind === "passages" ? [own] : marked(own, other);
    const text = make("div", { class: hide ? "answer blurred" : "answer", "aria-hidden": hide ? "true" : null }, ...shown);
    return hide ? [make("button", { type: "button", class: "show", onclick: () => { state.shown.add(row.key); render(); } }, "Show text"), text] : [text];
  }

  // Words that the other answer lacks, in the order of both: a longest common subsequence. Long texts stay unmarked.
  const MOST_WORDS = 400;

  function marked(own, other) {
    const pieces = own.split(/(\s+)/);
    const [a, b] = [own, other].map((text) => text.split(/\s+/));
    if (a.length > MOST_WORDS || b.length > MOST_WORDS) return [own];
    const width = b.length + 1;
    const common = new Uint16Array((a.length + 1) * width);
    for (let i = a.length - 1; i >= 0; i -= 1) {
      for (let j = b.length - 1; j >= 0; j -= 1) {
        common[i * width + j] = a[i] === b[j] ? common[(i + 1) * width + j + 1] + 1 : Math.max(common[(i + 1) * width + j], common[i * width + j + 1]);
      }
    }
    const shared = new Set();
    for (let i = 0, j = 0; i < a.length && j < b.length;) {
      if (a[i] === b[j]) { shared.add(i); i += 1; j += 1; }
      else if (common[(i + 1) * width + j] >= common[i * width + j + 1]) i += 1;
      else j += 1;
    }
    return pieces.map((piece, place) => (place % 2 || piece === "" || shared.has(place / 2) ? piece : make("mark", {}, piece)));
  }

  const UNITS = { choices: "nats", passages: "bits per byte", prompts: "of a score" };

  function outcomeCell(row, most = 2) {
    const words = outcomeWords(row);
    const lines = words.slice(0, most).map(({ text, good }) => make("div", { class: good === null ? "" : good ? "good" : "bad" }, text));
    return words.length > most ? [...lines, make("small", {}, `and ${words.length - most} more`)] : lines;
  }

  function breakable(text) {
    return text.split(/(?<=[:,+])(?!\d)/).flatMap((piece, place) => (place ? [make("wbr"), piece] : [piece]));
  }

  function tableRow(row) {
    const open = state.open.has(row.key);
    const button = make("button", { type: "button", class: "id", "aria-expanded": open, onclick: () => toggle(row) }, row.item.id);
    const cells = [
      make("th", { scope: "row" }, button, make("small", {}, " ", row.task.name)),
      make("td", { "data-label": "Variant" }, make("span", {}, ...breakable(data.arms[row.arm]))),
      make("td", { "data-label": "Dense" }, ...shownText(row, row.item.dense)),
      make("td", { "data-label": "Variant's answer" }, ...shownText(row, row.answer)),
      make("td", { "data-label": "What changed" }, ...outcomeCell(row)),
      make("td", { "data-label": "Size" }, make("span", {}, row.size.toFixed(2), make("small", {}, ` ${UNITS[row.task.kind]}`))),
    ];
    const line = make("tr", { class: open ? "open" : "" }, ...cells);
    return open ? [line, detailRow(row)] : [line];
  }

  function detailRow(row) {
    const hide = hidden(row, 3);
    const facts = [
      ["Prompt", make("span", { class: hide ? "blurred" : "", "aria-hidden": hide ? "true" : null }, row.item.prompt)],
      ...(row.task.kind === "choices" ? [["Options", optionTable(row)], ...replyFacts(row)] : []),
      ...(row.task.kind === "prompts" ? completionFacts(row) : []),
      ...(row.task.kind === "passages" ? passageFacts(row) : []),
      ["What changed", make("span", {}, ...outcomeCell(row, 20))],
      ["Groups", row.item.groups.join(", ") || "none"],
      ["Template", row.item.cluster],
      ...(row.item.facts ? [["Facts", factsText(row.item.facts)]] : []),
      ["Link", make("a", { href: `#item/${row.key}` }, "permanent link to this answer")],
    ];
    const list = make("dl", {}, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
    return make("tr", { class: "detail" }, make("td", { colspan: 6 }, list));
  }

  function factsText(text) {
    try {
      return Object.entries(JSON.parse(text)).map(([key, value]) => `${key.replaceAll("_", " ")}: ${typeof value === "object" ? JSON.stringify(value) : value}`).join("\n");
    } catch {
      return text; // cut, or with characters that were written out
    }
  }

  function optionTable(row) {
    const isScored = row.item.dense.logprobs !== undefined; // else letters were read from replies
    const head = isScored ? ["Option", "Dense (nats)", "Variant (nats)", "Whose"] : ["Option", "Whose"];
    const body = row.item.options.map((option, place) => {
      const notes = [
        place === row.item.gold ? "right answer" : "",
        place === row.item.dense.chosen ? "dense's choice" : "",
        place === row.answer.chosen ? "variant's choice" : "",
      ].filter(Boolean).join(", ");
      const scored = isScored ? [row.item.dense, row.answer] : [];
      const numbers = scored.map((answer) => make("td", { class: "number" }, answer.logprobs[place].toFixed(3).replace("-", "−")));
      return make("tr", {}, make("th", { scope: "row" }, option.trim() || "(empty)"), ...numbers, make("td", {}, notes));
    });
    const headings = head.map((text) => make("th", { scope: "col" }, text));
    return make("table", { class: "options" }, make("thead", {}, make("tr", {}, ...headings)), make("tbody", {}, ...body));
  }

  function replyFacts(row) {
    const replies = [["Dense's reply", row.item.dense.reply], ["Variant's reply", row.answer.reply]];
    return replies.filter(([, reply]) => reply !== undefined);
  }

  function completionFacts(row) {
    const scores = (answer) => row.task.scorers.map((scorer, place) => {
      const score = answer.scores[place];
      return `${scorer}: ${score.value === null ? `not scored (${score.reason})` : score.value.toFixed(3)}`;
    }).join("; ");
    return [["Dense", row.item.dense], [data.arms[row.arm], row.answer]].flatMap(([name, answer]) => [
      [name, make("div", {}, ...shownText(row, answer))],
      ["", make("small", {}, `${scores(answer)}; ${answer.tokens} tokens, ended by ${answer.stop}`)],
    ]);
  }

  function passageFacts(row) {
    const text = (answer) => `${answer.logprob.toFixed(2).replace("-", "−")} nats over ${answer.tokens} tokens, ${answer.bytes} bytes: ${bits(answer).toFixed(3)} bits per byte`;
    return [["Dense", text(row.item.dense)], [data.arms[row.arm], text(row.answer)]];
  }

  function toggle(row) {
    const opening = !state.open.has(row.key);
    if (opening) state.open.add(row.key); else state.open.delete(row.key);
    if (opening) history.replaceState(null, "", `#item/${row.key}`);
    render(row.key);
  }

  function filtered() {
    const wanted = { task: byId("item-task").value, arm: byId("item-arm").value, group: byId("item-group").value, outcome: byId("item-outcome").value };
    const words = byId("item-search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = rows.filter((row) =>
      (!wanted.task || row.task.name === wanted.task) &&
      (!wanted.arm || data.arms[row.arm] === wanted.arm) &&
      (!wanted.group || row.item.groups.includes(wanted.group)) &&
      (!wanted.outcome || row.words.includes(wanted.outcome)) &&
      words.every((word) => row.text.includes(word)));
    const values = { rank: (row) => row.rank, size: (row) => row.size, item: (row) => `${row.task.name} ${row.item.id}`, arm: (row) => row.arm, outcome: (row) => row.words.join(" ") };
    const value = values[state.sort];
    const sign = state.descending ? -1 : 1;
    const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true }));
    return found.sort((a, b) => sign * compare(value(a), value(b)) || a.arm - b.arm);
  }

  function render(focusKey) {
    const found = filtered();
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    state.page = Math.min(state.page, pages - 1);
    const visible = found.slice(state.page * PAGE, (state.page + 1) * PAGE);
    const body = byId("item-table").tBodies[0];
    body.replaceChildren(...visible.flatMap(tableRow));
    byId("item-count").textContent = found.length === rows.length ? `${rows.length.toLocaleString("en")} changed answers` : `${found.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} changed answers`;
    byId("item-page").textContent = `Page ${state.page + 1} of ${pages}`;
    byId("item-previous").disabled = state.page === 0;
    byId("item-next").disabled = state.page >= pages - 1;
    if (focusKey) {
      const place = visible.findIndex((row) => row.key === focusKey);
      if (place >= 0) body.querySelectorAll(".id")[place].focus({ preventScroll: true });
    }
    return body;
  }

  function openLink() {
    if (!location.hash.startsWith("#item/")) return;
    const key = location.hash.slice("#item/".length);
    const row = rows.find((candidate) => candidate.key === key);
    if (!row) {
      byId("item-count").textContent = "The item of this link is not among those on this page.";
      byId("items").scrollIntoView();
      return;
    }
    ["item-task", "item-arm", "item-group", "item-outcome", "item-search"].forEach((id) => { byId(id).value = ""; });
    state.open.add(row.key);
    state.page = Math.floor(filtered().indexOf(row) / PAGE);
    const body = render(row.key);
    const line = [...body.querySelectorAll(".id")].find((button) => button === document.activeElement);
    if (line) line.scrollIntoView({ block: "center" });
  }

  /* The filters stand in the address, so that a link opens the same list. */
  const FILTERS = { task: "item-task", variant: "item-arm", group: "item-group", change: "item-outcome", words: "item-search" };

  function remember() {
    const chosen = Object.entries(FILTERS).map(([key, id]) => [key, byId(id).value]).filter(([, value]) => value);
    history.replaceState(null, "", chosen.length ? `#items?${new URLSearchParams(chosen)}` : "#items");
  }

  function recall() {
    if (!location.hash.startsWith("#items?")) return;
    const chosen = new URLSearchParams(location.hash.slice("#items?".length));
    for (const [key, id] of Object.entries(FILTERS)) {
      byId(id).value = chosen.get(key) || "";
      if (byId(id).selectedIndex === -1) byId(id).value = "";
    }
    state.page = 0;
    render();
    byId("items").scrollIntoView();
  }

  function sortItems(button) {
    const same = state.sort === button.dataset.sort;
    state.descending = same ? !state.descending : button.dataset.sort === "size";
    state.sort = button.dataset.sort;
    byId("item-table").querySelectorAll("[aria-sort]").forEach((header) => header.setAttribute("aria-sort", "none"));
    button.closest("th").setAttribute("aria-sort", state.descending ? "descending" : "ascending");
    state.page = 0;
    render();
  }

  function options(values, everything) {
    return [["", everything], ...[...new Set(values)].sort((a, b) => a.localeCompare(b, "en", { numeric: true })).map((value) => [value, value])];
  }

  function start() {
    fill(byId("item-task"), [["", "all"], ...data.tasks.filter((task) => task.rows.length).map((task) => [task.name, task.name])]);
    fill(byId("item-arm"), [["", "all"], ...data.arms.slice(1).map((arm) => [arm, arm])]);
    fill(byId("item-group"), options(rows.flatMap((row) => row.item.groups), "all"));
    fill(byId("item-outcome"), options(rows.flatMap((row) => row.words), "anything"));
    const again = () => { state.page = 0; render(); };
    const filter = () => { again(); remember(); };
    ["item-task", "item-arm", "item-group", "item-outcome"].forEach((id) => byId(id).addEventListener("change", filter));
    byId("item-unblur").addEventListener("change", again);
    byId("item-search").addEventListener("input", filter);
    byId("item-previous").addEventListener("click", () => { state.page -= 1; render(); });
    byId("item-next").addEventListener("click", () => { state.page += 1; render(); });
    byId("item-table").querySelectorAll(".sort").forEach((button) => button.addEventListener("click", () => sortItems(button)));
    ["item-controls", "item-table", "item-pager"].forEach((id) => { byId(id).hidden = false; });
    render();
    openLink();
    recall();
    window.addEventListener("hashchange", () => { openLink(); recall(); });
  }
  start();
})();
