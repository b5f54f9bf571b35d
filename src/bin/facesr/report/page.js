"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let current = 0;
  const plots = [];

  const make = (parent, name, attributes = {}, text = "") => {
    const node = document.createElement(name);
    Object.assign(node, attributes);
    if (text) node.textContent = text;
    return parent.appendChild(node);
  };

  // Four digits that matter, like the table of the program.
  const number = (value) => {
    if (value === null) return "–";
    const magnitude = value === 0 ? 0 : Math.floor(Math.log10(Math.abs(value)));
    return value.toFixed(Math.min(8, Math.max(0, 3 - magnitude)));
  };

  // ------------------------------------------------------------ pictures

  const sideName = (at) => `${data.sides[at].label}: ${data.sides[at].file}`;

  const arrange = () => {
    const { width, height } = data.pairs[current];
    const zoom = $("zoom").value;
    const room = $("scroll").clientWidth;
    // At 100 % a pixel of the picture is one of the screen.
    const shown = zoom === "fit" ? room : (width * zoom) / devicePixelRatio;
    // A tall picture must not push its own slider off the screen.
    const most = zoom === "fit" ? Math.max(200, innerHeight * 0.72) * (width / height) : shown;
    const used = Math.min(shown, most);
    $("stage").style.width = `${used}px`;
    $("stage").style.height = `${(used * height) / width}px`;
    $("stage").classList.toggle("enlarged", used * devicePixelRatio >= 2 * width);
  };

  const divide = () => {
    const share = $("share").value;
    $("over").style.clipPath = `inset(0 ${100 - share}% 0 0)`;
    $("edge").style.left = `${share}%`;
  };

  const show = (at, scroll) => {
    current = at;
    const { frame, pictures } = data.pairs[at];
    const [left, right] = [+$("left").value, +$("right").value];
    $("over").src = pictures[left];
    $("under").src = pictures[right];
    $("over").alt = `frame ${frame}, ${sideName(left)}`;
    $("under").alt = `frame ${frame}, ${sideName(right)}`;
    $("left-name").textContent = `◀ ${sideName(left)}`;
    $("right-name").textContent = `${sideName(right)} ▶`;
    [...$("frames").children].forEach((button, number) => button.setAttribute("aria-pressed", number === at));
    arrange();
    divide();
    plots.forEach((plot) => plot.mark(frame));
    if (scroll) $("pictures").scrollIntoView({ behavior: still ? "auto" : "smooth" });
  };

  const nearest = (frame) => {
    const far = (at) => Math.abs(data.pairs[at].frame - frame);
    return data.pairs.reduce((best, _, at) => (far(at) < far(best) ? at : best), 0);
  };

  const step = (by) => show(Math.min(data.pairs.length - 1, Math.max(0, current + by)), false);

  const pictures = () => {
    const worst = new Map();
    data.metrics.filter((metric) => metric.worst !== null).forEach((metric) => {
      worst.set(metric.worst, [...(worst.get(metric.worst) || []), metric.name]);
    });
    for (const [id, chosen] of [["left", data.left], ["right", data.sides.length - 1]]) {
      data.sides.forEach((side, at) => make($(id), "option", { value: at, selected: at === chosen }, side.label));
      $(id).addEventListener("change", () => show(current, false));
    }
    data.pairs.forEach(({ frame }, at) => {
      const names = worst.get(frame);
      const title = names ? `worst of ${names.join(", ")}` : "";
      const button = make($("frames"), "button", { type: "button", title }, `frame ${frame}`);
      if (names) button.className = "worst";
      button.addEventListener("click", () => show(at, false));
    });
    $("frames").addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by) return;
      event.preventDefault();
      step(by);
      $("frames").children[current].focus();
    });
    $("share").addEventListener("input", divide);
    $("zoom").addEventListener("change", arrange);
    const drag = (event) => {
      const box = $("stage").getBoundingClientRect();
      $("share").value = (100 * (event.clientX - box.left)) / box.width;
      divide();
    };
    $("stage").addEventListener("pointerdown", (event) => {
      $("stage").setPointerCapture(event.pointerId);
      drag(event);
    });
    $("stage").addEventListener("pointermove", (event) => event.buttons && drag(event));
    $("stage").addEventListener("dragstart", (event) => event.preventDefault());
  };

  // ------------------------------------------------------------ plots

  const draw = (parent, name, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
    if (text !== undefined) node.textContent = text;
    return parent.appendChild(node);
  };

  // Round numbers that span the values, about `wanted` of them.
  const ticks = (least, most, wanted) => {
    const rough = (most - least) / wanted;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const size = [1, 2, 5, 10].find((factor) => factor * unit >= rough) * unit;
    const found = [];
    for (let at = Math.ceil(least / size); at * size <= most + size * 1e-9; at += 1) found.push(at * size);
    const decimals = Math.max(0, -Math.floor(Math.log10(size) + 1e-9));
    return found.map((value) => [value, value.toFixed(Math.min(decimals, 8))]);
  };

  const plot = (metric) => {
    const card = make($("figures"), "article");
    const head = make(card, "header");
    make(head, "h2", {}, metric.name);
    const values = make(head, "span", { className: "value" });
    metric.series.forEach((series, at) => {
      if (at) values.append(" ");
      make(values, at ? "span" : "b", {}, `${at || metric.series.length > 1 ? series.label + " " : ""}${number(series.value)}`);
    });
    if (metric.unit) values.append(` ${metric.unit}`);
    make(card, "p", { className: "meaning" }, `${metric.meaning}; ${metric.better} is better`);
    const svg = draw(card, "svg", { tabindex: 0, role: "img" });
    svg.setAttribute("aria-label", `${metric.name} over the frames; arrow keys go through the pictures`);
    const under = make(card, "div", { className: "under" });
    const readout = make(under, "span", { className: "readout" }, " ");
    if (metric.worst !== null) {
      const text = `worst: frame ${metric.worst}`;
      const button = make(under, "button", { type: "button", className: "worst" }, text);
      button.addEventListener("click", () => show(nearest(metric.worst), true));
    }

    const points = metric.series.flatMap((series) => series.points);
    let [least, most] = [Math.min(...points.map((p) => p[1])), Math.max(...points.map((p) => p[1]))];
    // A line that is flat lies in the middle, and rounding is not blown up to a mountain.
    const margin = Math.max((most - least) * 0.06, Math.abs(most) * 0.002, 1e-9);
    [least, most] = [least - margin, most + margin];
    const edge = { left: 52, right: 10, top: 8, bottom: 24 };
    let x, y, now, shown = 0;

    const paint = () => {
      const { width, height } = svg.getBoundingClientRect();
      if (!width) return;
      svg.replaceChildren();
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      const span = Math.max(1, data.count - 1);
      x = (frame) => edge.left + (frame / span) * (width - edge.left - edge.right);
      y = (value) => height - edge.bottom - ((value - least) / (most - least)) * (height - edge.top - edge.bottom);
      for (const [value, text] of ticks(least, most, 4)) {
        draw(svg, "line", { class: "grid", x1: edge.left, x2: width - edge.right, y1: y(value), y2: y(value) });
        draw(svg, "text", { x: edge.left - 6, y: y(value) + 4, "text-anchor": "end" }, text);
      }
      for (const [value, text] of ticks(0, span, Math.min(span, 6))) {
        draw(svg, "text", { x: x(value), y: height - 6, "text-anchor": value > span * 0.97 ? "end" : "middle" }, text);
      }
      data.cuts.forEach((frame) => {
        const line = draw(svg, "line", { class: "cut", x1: x(frame), x2: x(frame), y1: edge.top, y2: height - edge.bottom });
        draw(line, "title", {}, `cut at frame ${frame}`);
      });
      [...metric.series.entries()].reverse().forEach(([at, series]) => {
        // A line bridges the frames that a metric has no figure for, but not a cut.
        const path = series.points.map(([frame, value], i) => {
          const before = i ? series.points[i - 1][0] : -1;
          const broken = i === 0 || data.cuts.some((cut) => before < cut && cut <= frame);
          return `${broken ? "M" : "L"}${x(frame).toFixed(1)} ${y(value).toFixed(1)}`;
        });
        draw(svg, "path", { class: `s${at}`, d: path.join("") });
        if (series.points.length <= width / 12) {
          series.points.forEach(([frame, value]) => draw(svg, "circle", { class: `s${at}`, cx: x(frame), cy: y(value), r: 2.2 }));
        }
      });
      data.pairs.forEach(({ frame }) => draw(svg, "circle", { class: "mark", cx: x(frame), cy: height - edge.bottom, r: 2.5 }));
      const worst = metric.series[0].points.find(([frame]) => frame === metric.worst);
      if (worst) draw(svg, "circle", { class: "worst", cx: x(worst[0]), cy: y(worst[1]), r: 5 });
      now = draw(svg, "line", { class: "now", y1: edge.top, y2: height - edge.bottom });
      mark(shown);
    };

    const read = (frame) => {
      const found = metric.series.map((series) => {
        const point = series.points.find((p) => p[0] === frame);
        return point && `${metric.series.length > 1 ? series.label + " " : ""}${number(point[1])}`;
      });
      readout.textContent = `frame ${frame}: ${found.filter(Boolean).join(", ") || "no figure"}`;
    };

    const mark = (frame) => {
      shown = frame;
      if (!now) return;
      now.setAttribute("x1", x(frame));
      now.setAttribute("x2", x(frame));
      read(frame);
    };

    const frameAt = (event) => {
      const box = svg.getBoundingClientRect();
      const share = (event.clientX - box.left - edge.left) / (box.width - edge.left - edge.right);
      return Math.round(Math.min(1, Math.max(0, share)) * (data.count - 1));
    };
    svg.addEventListener("pointermove", (event) => read(frameAt(event)));
    svg.addEventListener("pointerleave", () => read(shown));
    svg.addEventListener("click", (event) => show(nearest(frameAt(event)), true));
    svg.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by) { event.preventDefault(); step(by); }
      if (event.key === "Enter") show(current, true);
    });
    // At once, and again whenever there is more or less room.
    paint();
    new ResizeObserver(paint).observe(svg);
    plots.push({ mark });
  };

  // ------------------------------------------------------------ the page

  const about = [`${data.count} frames, counted from 0`, data.cuts_told].filter(Boolean);
  $("about").textContent = about.join("; ");
  data.metrics.filter((metric) => metric.series.some((series) => series.points.length)).forEach(plot);
  $("key").hidden = !plots.length;
  for (const [name, reason] of Object.entries(data.not_measured || {})) {
    $("absent").hidden = false;
    make($("absent").querySelector("dl"), "dt", {}, name);
    make($("absent").querySelector("dl"), "dd", {}, reason);
  }
  if (data.pairs.length) {
    pictures();
    show(0, false);
    addEventListener("resize", arrange);
  } else {
    $("pictures").hidden = true;
  }
})();
