// Measures the reports in the frames of its page, and writes down what it finds as JSON.
"use strict";

const luminance = (colour) => {
  const [red, green, blue] = colour.match(/[\d.]+/g).map(Number).slice(0, 3).map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};

const contrast = (one, other) => {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
};

const overlap = (one, other) =>
  one.left < other.right - 1 && other.left < one.right - 1 && one.top < other.bottom - 3 && other.top < one.bottom - 3;

const measure = (frame) => {
  const page = frame.contentDocument, view = frame.contentWindow;
  const style = (element) => view.getComputedStyle(element);
  const back = style(page.body).backgroundColor;
  const drawn = [...page.querySelectorAll("svg")].filter((svg) => style(svg).display !== "none");
  const cut = [], overlapping = [], faint = [];
  for (const svg of drawn) {
    const edge = svg.getBoundingClientRect(), texts = [...svg.querySelectorAll("text")];
    const boxes = texts.map((text) => text.getBoundingClientRect());
    texts.forEach((text, n) => {
      const box = boxes[n];
      if (box.left < edge.left - 1 || box.right > edge.right + 1 || box.top < edge.top - 2 || box.bottom > edge.bottom + 2)
        cut.push(text.textContent);
      for (let m = 0; m < n; m++) if (overlap(box, boxes[m])) overlapping.push([texts[m].textContent, text.textContent]);
      if (contrast(style(text).fill, back) < 4.5) faint.push(text.textContent);
    });
    for (const mark of svg.querySelectorAll("rect, circle"))
      if (contrast(style(mark).fill, back) < 3) faint.push(mark.outerHTML);
  }
  for (const element of page.querySelectorAll("h1, h2, p, dt, dd, th, td, summary")) {
    const behind = element.closest(".facts div") ? style(element.closest(".facts div")).backgroundColor : back;
    if (contrast(style(element).color, behind) < 4.5) faint.push(element.textContent);
  }
  return {
    name: view.location.pathname.split("/").pop(),
    width: frame.clientWidth,
    title: page.title,
    loaded: view.performance.getEntriesByType("resource").map((entry) => entry.name),
    overflow: page.documentElement.scrollWidth - page.documentElement.clientWidth,
    dark: luminance(back) < 0.2,
    plots: drawn.length,
    cut, overlapping, faint: [...new Set(faint)],
  };
};

window.addEventListener("load", () => {
  document.querySelector("pre").textContent = JSON.stringify([...document.querySelectorAll("iframe")].map(measure));
});
