// What the catalogue can do beyond being read: theme, search, filters, order and copying. Every page says all without it.
"use strict";

(() => {
  const root = document.documentElement;
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  const say = (text) => {
    one("#said").textContent = "";
    setTimeout(() => { one("#said").textContent = text; }, 50);
  };
  const images = (number) => `${number} image${number === 1 ? "" : "s"}`;
  const words = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);
  const make = (name, properties, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };

  // -- theme: before the body is drawn, so that nothing flashes ---------------------------------------------
  const THEME = "avabuild-theme";
  const remembered = () => {
    try {
      return localStorage.getItem(THEME);
    } catch {
      return null; // storage may be forbidden for pages from files
    }
  };
  const remember = (theme) => {
    try {
      localStorage.setItem(THEME, theme);
    } catch {
      // then it holds for this page
    }
  };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  if (["dark", "light"].includes(remembered())) root.dataset.theme = remembered();

  const startTheme = () => {
    const button = one("#theme");
    const show = () => {
      button.replaceChildren(dark() ? "Light" : "Dark", make("span", { className: "unseen", textContent: " colours" }));
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      remember(root.dataset.theme);
      show();
    });
    system.addEventListener("change", show);
    show();
  };

  // -- the front page: search and filters, kept in the address so that a view can be sent to somebody --------
  const startFilter = (form) => {
    const table = one("#images");
    const body = one("tbody", table);
    const rows = all("tr", body).map((row) => ({ row, ...row.dataset }));
    const fields = ["search", "framework", "python", "device"].map((name) => one(`#${name}`, form));
    const [search, ...choices] = fields;

    const fits = (entry) =>
      words(search.value).every((word) => entry.words.includes(word)) &&
      choices.every((choice) => !choice.value || entry[choice.id].split(" ").includes(choice.value));

    const show = () => {
      let shown = 0;
      for (const entry of rows) {
        entry.row.hidden = !fits(entry);
        shown += !entry.row.hidden;
      }
      const narrowed = shown < rows.length;
      one("#count").textContent = narrowed ? `${shown} of ${images(rows.length)}` : images(rows.length);
      one("#nothing").hidden = shown > 0 || rows.length === 0;
      table.hidden = shown === 0;
      const set = fields.filter((field) => field.value).map((field) => [field.id, field.value]);
      const hash = new URLSearchParams(set).toString();
      if (hash !== location.hash.slice(1)) history.replaceState(null, "", hash ? `#${hash}` : "#");
    };
    const read = () => {
      const given = new URLSearchParams(location.hash.slice(1));
      for (const field of fields) field.value = given.get(field.id) ?? "";
      for (const choice of choices) if (choice.selectedIndex < 0) choice.value = "";
      show();
    };
    const clear = () => {
      for (const field of fields) field.value = "";
      show();
      search.focus();
    };

    form.hidden = false;
    form.addEventListener("input", show);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", (event) => { event.preventDefault(); clear(); });
    one("#all").addEventListener("click", clear);
    addEventListener("hashchange", () => { if (location.hash !== "#main") read(); });
    addEventListener("keydown", (event) => {
      const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
      if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        search.focus();
        search.select();
      }
    });
    startOrder(table, body);
    if (location.hash && location.hash !== "#main") read();
  };

  // -- order by a column; a third press brings back the page's own order --------------------------------------
  const startOrder = (table, body) => {
    const original = all("tr", body);
    const collator = new Intl.Collator("en", { numeric: true });
    all("thead th", table).forEach((head, column) => {
      const button = make("button", { type: "button", textContent: head.textContent });
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const next = { null: "ascending", ascending: "descending", descending: null }[head.getAttribute("aria-sort")];
        for (const other of all("thead th", table)) other.removeAttribute("aria-sort");
        if (next) head.setAttribute("aria-sort", next);
        const key = (row) => row.cells[column].dataset.sort;
        const sign = next === "descending" ? -1 : 1;
        const sorted = next
          ? [...original].sort((a, b) => !key(a) - !key(b) || sign * collator.compare(key(a), key(b)))
          : original;
        body.append(...sorted);
        say(next ? `ordered by ${button.textContent}, ${next}` : "in the original order");
      });
    });
  };

  // -- the page of an image ------------------------------------------------------------------------------------
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = make("textarea", { value: text, readOnly: true, className: "unseen" });
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      if (!done) throw new Error("this browser does not let pages copy");
    }
  };

  const startCopy = (block) => {
    const button = make("button", { type: "button", className: "quiet", textContent: "Copy" });
    button.append(make("span", { className: "unseen", textContent: `: ${block.dataset.copy}` }));
    const label = button.firstChild;
    button.addEventListener("click", async () => {
      try {
        await copy(one("code", block).textContent);
        label.data = "Copied";
        say("Copied");
      } catch {
        label.data = "Select it";
        getSelection().selectAllChildren(one("code", block));
        say("Could not copy; the text is selected");
      }
      button.focus();
      setTimeout(() => { label.data = "Copy"; }, 2000);
    });
    block.append(button);
  };

  const startPackages = (list) => {
    const id = `${list.getAttribute("aria-labelledby")}-search`;
    const input = make("input", { type: "search", id, autocomplete: "off", spellcheck: false });
    const label = make("label", { htmlFor: id, textContent: `Find among ${list.dataset.filterable}` });
    const items = all("li", list);
    input.addEventListener("input", () => {
      let shown = 0;
      for (const item of items) {
        item.hidden = !words(input.value).every((word) => item.textContent.toLowerCase().includes(word));
        shown += !item.hidden;
      }
      say(`${shown} of ${items.length} packages`);
    });
    list.before(make("div", { className: "field narrow" }, label, input));
  };

  addEventListener("DOMContentLoaded", () => {
    startTheme();
    const form = one("#filter");
    if (form) startFilter(form);
    all("[data-copy]").forEach(startCopy);
    all("[data-filterable]").forEach(startPackages);
  });
})();
