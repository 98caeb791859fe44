"use strict";
for (const figure of document.querySelectorAll("figure.chart")) {
  const { frame, series } = JSON.parse(figure.querySelector("script").textContent);
  const svg = figure.querySelector("svg");
  const rule = svg.querySelector(".rule");
  const spots = svg.querySelectorAll(".spot");
  const output = figure.querySelector("output");
  const across = (x) => frame.left + (x - frame.x[0]) / (frame.x[1] - frame.x[0]) * (frame.right - frame.left);
  const share = (y) => frame.log ? Math.log(y / frame.y[0]) / Math.log(frame.y[1] / frame.y[0]) : (y - frame.y[0]) / (frame.y[1] - frame.y[0]);
  const up = (y) => frame.bottom - share(y) * (frame.bottom - frame.top);
  const longest = series.reduce((a, b) => b.x.length > a.x.length ? b : a);
  let at = -1;

  // The index of the point nearest to x; points go from left to right.
  const nearest = (xs, x) => {
    let low = 0, high = xs.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (xs[middle] < x) low = middle; else high = middle;
    }
    return Math.abs(xs[low] - x) <= Math.abs(xs[high] - x) ? low : high;
  };
  const digits = (y) => y === null ? "not finite" : Math.abs(y) >= 1e-3 && Math.abs(y) < 1e6 ? y.toLocaleString("en", { maximumSignificantDigits: 5 }) : y.toExponential(2);
  const show = (index) => {
    at = Math.max(0, Math.min(index, longest.x.length - 1));
    const x = longest.x[at];
    rule.setAttribute("x1", across(x));
    rule.setAttribute("x2", across(x));
    svg.classList.add("on");
    const words = ["step " + x.toLocaleString("en")];
    series.forEach((one, number) => {
      const point = one.x.length ? nearest(one.x, x) : -1;
      const y = point < 0 ? null : one.y[point];
      spots[number].classList.toggle("on", y !== null);
      if (y !== null) {
        spots[number].setAttribute("cx", across(one.x[point]));
        spots[number].setAttribute("cy", up(y));
      }
      const elsewhere = point >= 0 && one.x[point] !== x ? " (step " + one.x[point].toLocaleString("en") + ")" : "";
      if (point >= 0) words.push(one.name + " " + digits(y) + elsewhere);
    });
    output.textContent = words.join("   ·   ");
  };
  const hide = () => {
    at = -1;
    svg.classList.remove("on");
    spots.forEach((spot) => spot.classList.remove("on"));
    output.textContent = "";
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const place = (event.clientX - box.left) / box.width * frame.width;
    const x = frame.x[0] + (place - frame.left) / (frame.right - frame.left) * (frame.x[1] - frame.x[0]);
    show(nearest(longest.x, x));
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    show(at < 0 && step === -1 ? longest.x.length - 1 : at + step);
  });
}
