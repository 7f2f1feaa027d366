/* What every page does beyond plain HTML: menus, filters, theme, search key, copy, and live sections. */
(() => {
  "use strict";

  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // ---- menus: native <details>, closed by Escape and by a click elsewhere ----------------------------------------
  const closeMenus = (except) => {
    for (const menu of all("details[data-menu][open]")) if (!menu.contains(except)) menu.open = false;
  };
  document.addEventListener("click", (event) => closeMenus(event.target));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = document.activeElement?.closest?.("details[data-menu][open]");
    closeMenus(null);
    menu?.querySelector("summary").focus();
  });

  /** A list that would leave the window moves left by what is over. */
  document.addEventListener(
    "toggle",
    ({ target }) => {
      const list = target.matches?.("details[data-menu][open]") && target.querySelector(".menu-list");
      if (!list) return;
      list.style.translate = "0 0";
      const over = list.getBoundingClientRect().right - document.documentElement.clientWidth + 16;
      if (over > 0 && getComputedStyle(list).position === "absolute") list.style.translate = `${-over}px 0`;
    },
    true,
  );

  // ---- keys ----------------------------------------------------------------------------------------------------
  const typing = (target) => target.isContentEditable || /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (event.key === "/") {
      const search = document.querySelector("[data-search]");
      if (search) event.preventDefault(), search.select(), search.focus();
    } else if (event.key === "p") toggleLive();
    else if (/^[a-z]$/.test(event.key)) act(event);
  });

  /** What carries data-key is reached by that key: a button or link is pressed, a field gets the focus. */
  function act(event) {
    const target = document.querySelector(`[data-key="${event.key}"]`);
    if (!target) return;
    event.preventDefault();
    if (target.matches("button, a")) target.click();
    else target.focus();
  }

  // ---- filters: selects apply at once; what is empty stays out of the URL ---------------------------
  document.addEventListener("change", (event) => {
    if (event.target.matches?.("[data-apply]")) event.target.form.requestSubmit();
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("[data-filters]")) return;
    for (const field of all("input, select", form)) if (field.value === (field.dataset.default ?? "")) field.disabled = true;
  });
  addEventListener("pageshow", (event) => {
    if (event.persisted) all("[data-filters] :disabled").forEach((field) => (field.disabled = false));
  });

  // ---- theme ---------------------------------------------------------------------------------------------------
  for (const choice of all("[data-theme-choice]")) choice.hidden = false;
  document.addEventListener("change", (event) => {
    if (!event.target.matches?.('[data-theme-choice] input')) return;
    const theme = event.target.value;
    document.documentElement.dataset.theme = theme;
    document.cookie = `theme=${theme}; path=/; max-age=31536000; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;
    document.dispatchEvent(new CustomEvent("desk:theme"));
  });

  // ---- copy ----------------------------------------------------------------------------------------------------
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    const word = button.querySelector("[data-copy-word]");
    const code = button.closest(".code").querySelector("code");
    // Without TLS there is no clipboard: then the text is selected, ready for the keys.
    if (navigator.clipboard) await navigator.clipboard.writeText(code.textContent);
    else getSelection().selectAllChildren(code);
    word.textContent = navigator.clipboard ? "Copied" : "Selected";
    setTimeout(() => (word.textContent = "Copy"), 1600);
  });

  // ---- live sections -------------------------------------------------------------------------------------------
  const IDLE_AFTER_TOUCH = 3000; // ms without a touch before a section may change under the reader's hand
  const fresh = document.querySelector("[data-fresh]");
  let paused = readPaused();
  let updatedAt = Date.now();
  let failed = false;
  let touchedAt = 0;

  function readPaused() {
    try {
      return localStorage.getItem("live") === "paused";
    } catch {
      return false;
    }
  }

  function toggleLive() {
    if (fresh?.hidden ?? true) return;
    paused = !paused;
    try {
      localStorage.setItem("live", paused ? "paused" : "on");
    } catch {
      // Storage may be refused; the choice then lasts as long as the page.
    }
    show();
    if (!paused) refreshDue(true);
  }

  const age = (from) => {
    const seconds = Math.round((Date.now() - from) / 1000);
    return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min`;
  };

  /** Rounded to 5 s below a minute, so that the polite live region does not chatter; screen readers hear only changes of state. */
  function show() {
    if (!fresh || fresh.hidden) return;
    const stale = failed || (!paused && Date.now() - updatedAt > 90_000);
    fresh.dataset.state = stale ? "stale" : "fresh";
    const text = fresh.querySelector("[data-fresh-text]");
    const words = stale ? `Stale: last update ${age(updatedAt)} ago` : `Updated ${age(updatedAt)} ago`;
    text.setAttribute("aria-live", "off");
    text.textContent = words;
    const button = fresh.querySelector("[data-live-toggle]");
    button.setAttribute("aria-pressed", String(!paused));
    fresh.querySelector("[data-live-word]").textContent = paused ? "Paused" : "Live";
    fresh.querySelector("[data-live-icon]").setAttribute("href", paused ? "#i-play" : "#i-pause");
  }

  function announce(words) {
    const region = document.querySelector("[data-announce]");
    if (region && region.textContent !== words) region.textContent = words;
  }

  /** A section rests while its reader types in it, has a menu open in it or points at one of its charts. */
  function busy(section) {
    const active = document.activeElement;
    const using = section.contains(active) && active.matches("input, select, textarea, [contenteditable]");
    const selecting = !getSelection().isCollapsed && section.contains(getSelection().anchorNode);
    return using || selecting || section.querySelector("details[data-menu][open]") || (section.matches(":hover") && Date.now() - touchedAt < IDLE_AFTER_TOUCH);
  }

  function refreshDue(now = false) {
    if (paused || document.hidden) return;
    for (const section of all("[data-live]")) {
      const due = (section.askedAt ?? updatedAt) + Number(section.dataset.live) * 1000;
      if (!now && (Date.now() < due || busy(section))) continue;
      section.askedAt = Date.now();
      section.dispatchEvent(new CustomEvent("refresh"));
    }
  }

  function ended(ok) {
    const before = failed;
    failed = !ok;
    if (ok) updatedAt = Date.now();
    if (before !== failed) announce(failed ? "This page is no longer up to date; trying again." : "This page is up to date again.");
    show();
  }

  if (fresh && document.querySelector("[data-live]")) {
    fresh.hidden = false;
    fresh.querySelector("[data-live-toggle]").addEventListener("click", toggleLive);
    for (const kind of ["pointerdown", "pointermove", "keydown"]) document.addEventListener(kind, () => (touchedAt = Date.now()), { passive: true });
    document.addEventListener("visibilitychange", () => !document.hidden && refreshDue());
    setInterval(() => (refreshDue(), show()), 1000);
    show();
  }

  const isLive = (event) => event.target.closest?.("[data-live]") || event.detail?.ctx?.sourceElement?.closest?.("[data-live]");
  document.addEventListener("htmx:after:request", (event) => isLive(event) && ended(event.detail.ctx.response.status < 400));
  document.addEventListener("htmx:error", (event) => isLive(event) && ended(false));
  // A session that ended answers with the sign-in page: go there instead of drawing it into a section.
  document.addEventListener("htmx:before:response", (event) => {
    const { raw } = event.detail.ctx.response;
    if (raw.redirected && new URL(raw.url).pathname !== location.pathname && isLive(event)) event.preventDefault(), location.reload();
  });

  // ---- times and first focus -----------------------------------------------------------------------------------
  const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  function agoText(moment) {
    const seconds = Math.trunc((Date.now() - Date.parse(moment)) / 1000);
    const size = Math.abs(seconds);
    if (size < 5) return "just now";
    const [scale, unit] = UNITS.find(([s]) => size >= s);
    const amount = `${Math.floor(size / scale)} ${unit}`;
    return seconds > 0 ? `${amount} ago` : `in ${amount}`;
  }
  setInterval(() => {
    if (!document.hidden) for (const time of all("time[data-ago]")) time.textContent = agoText(time.dateTime);
  }, 10_000);

  document.querySelector("[data-focus]")?.focus();
})();
