// Pictures from bytes.
"use strict";

// One image of c channels (1 or 3), h x w bytes, as a canvas.
function picture(data, h, w, c, scale = 1) {
  const canvas = canvasOf(w, h, (pixels) => {
    for (let i = 0; i < h * w; ++i) {
      for (let k = 0; k < 3; ++k) pixels[4 * i + k] = data[c >= 3 ? c * i + k : c * i] ?? 0;
      pixels[4 * i + 3] = 255;
    }
  });
  canvas.style.width = w * scale + "px";
  canvas.style.height = h * scale + "px";
  return canvas;
}
// One plane of a map whose channels are last, in the colours of a scale; lo and hi as the bytes 0
// and 255.
function plane(data, h, w, stride, offset, colour, scale) {
  const canvas = canvasOf(w, h, (pixels) => {
    for (let i = 0; i < h * w; ++i)
      pixels.set([...colour[data[offset + i * stride] ?? 0], 255], 4 * i);
  });
  canvas.style.width = w * scale + "px";
  canvas.style.height = h * scale + "px";
  return canvas;
}
// 256 colours for bytes of values from lo to hi; 0 is the middle of the signed scale.
function colourTable(lo, hi) {
  const signed = lo < 0, most = Math.max(Math.abs(lo), Math.abs(hi)) || 1, span = hi - lo || 1;
  const colour = colours(signed ? "--signed" : "--ramp");
  return Array.from({length: 256}, (_, i) => {
    const v = lo + (span * i) / 255;
    return signed ? colour(0.5 + v / (2 * most)) : colour((v - lo) / span);
  });
}
