// Gives a picture to a network exported by `thumbnets export`, in a browser: no dependency.
// What is done to a picture is that of `thumbnets predict`, to the last bit of each pixel.

const HALF = 1 << 21, ONE = 1 << 22; // weights of pixels are whole numbers, as in Pillow

/** What the file of a network says of it: JSON, under `thumbnets` in the metadata of ONNX. */
export function metadata(buffer) {
  const bytes = new Uint8Array(buffer), text = new TextDecoder();
  let place = 0;
  const number = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[place++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  const fields = (end, visit) => { // fields of a message of protobuf
    while (place < end) {
      const tag = number(), kind = tag % 8;
      if (kind === 0) number();
      else if (kind === 1) place += 8;
      else if (kind === 5) place += 4;
      else if (kind === 2) {
        const last = number() + place;
        visit(Math.floor(tag / 8), last);
        place = last;
      } else throw new Error("This is no ONNX file.");
    }
  };
  const found = {};
  fields(bytes.length, (field, end) => {
    if (field !== 14) return; // metadata_props: pairs of key and value
    const pair = [];
    fields(end, (part, last) => { pair[part] = text.decode(bytes.subarray(place, last)); });
    found[pair[1]] = pair[2];
  });
  if (!found.thumbnets) throw new Error("This file was not written by `thumbnets export`.");
  return JSON.parse(found.thumbnets);
}

/** A picture, upright and opaque: {width, height, data: RGBA}. `file` is a Blob or File. */
export async function decode(file) {
  const options = { imageOrientation: "from-image", colorSpaceConversion: "none" };
  const picture = await createImageBitmap(file, options);
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, picture.width, picture.height);
  context.drawImage(picture, 0, 0);
  return context.getImageData(0, 0, picture.width, picture.height);
}

/** What the network takes: Uint8Array [C, S, S] of a picture, as `about` (metadata) says. */
export function pixels({ width, height, data }, about) {
  const count = about.channels, side = about.image_size;
  const result = new Uint8Array(count * side * side);
  for (let channel = 0; channel < count; channel++) {
    const plane = new Uint8Array(width * height);
    for (let i = 0; i < plane.length; i++) {
      const [r, g, b] = [data[4 * i], data[4 * i + 1], data[4 * i + 2]];
      const grey = (19595 * r + 38470 * g + 7471 * b + 32768) >>> 16;
      plane[i] = count === 1 ? grey : data[4 * i + channel];
    }
    result.set(fitted({ width, height, plane }, side, about.fit), channel * side * side);
  }
  return result;
}

function fitted({ width, height, plane }, side, fit) {
  const image = { width, height, plane };
  if (fit === "stretch") return resize(image, side, side, [0, 0, width, height]);
  if (fit === "crop") {
    const short = Math.min(width, height), left = (width - short) / 2, top = (height - short) / 2;
    return resize(image, side, side, [left, top, left + short, top + short]);
  }
  const long = Math.max(width, height); // pad: black beside the whole picture
  const scaled = (length) => Math.max(1, length === long ? side : even((length / long) * side));
  const [w, h] = [scaled(width), scaled(height)];
  const strip = 2 * side * Math.min(width, height) <= long;
  const at = (length) => (strip ? Math.floor((side - length) / 2) : even((side - length) / 2));
  const small = resize(image, w, h, [0, 0, width, height]), result = new Uint8Array(side * side);
  for (let y = 0; y < h; y++) {
    result.set(small.subarray(y * w, (y + 1) * w), (at(h) + y) * side + at(w));
  }
  return result;
}

/** Rounded as Python does: halves to the even number. */
function even(value) {
  const low = Math.floor(value);
  return value - low === 0.5 ? low + (low % 2) : Math.round(value);
}

/**
 * Bilinear over all pixels that a new one covers: along rows, then along columns. Of tall pictures
 * the columns come first, as in Pillow 13 (a rule found by comparing 400 shapes with it).
 */
function resize(image, w, h, [left, top, right, bottom]) {
  const columnsFirst = image.height - h > Math.max(0, 2 * (image.width - w));
  const rows = (of) => along(of, weights(of.width, left, right, w));
  const columns = (of) => turned(along(turned(of), weights(of.height, top, bottom, h)));
  return (columnsFirst ? rows(columns(image)) : columns(rows(image))).plane;
}

function along({ width, height, plane }, weights) {
  const count = weights.length, result = new Uint8Array(count * height);
  weights.forEach(({ first, values }, x) => {
    for (let y = 0; y < height; y++) {
      let sum = HALF;
      for (let i = 0; i < values.length; i++) sum += values[i] * plane[y * width + first + i];
      result[y * count + x] = Math.min(255, Math.floor(sum / ONE));
    }
  });
  return { width: count, height, plane: result };
}

function turned({ width, height, plane }) {
  const result = new Uint8Array(plane.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) result[x * height + y] = plane[y * width + x];
  }
  return { width: height, height: width, plane: result };
}

function weights(length, from, to, count) {
  const scale = (to - from) / count, reach = Math.max(scale, 1);
  return Array.from({ length: count }, (_, place) => {
    const centre = from + (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(length, Math.trunc(centre + reach + 0.5));
    const plain = Array.from({ length: end - first }, (_, i) =>
      Math.max(0, 1 - Math.abs((first + i - centre + 0.5) * (1 / reach))));
    const share = 1 / plain.reduce((a, b) => a + b, 0);
    return { first, values: plain.map((value) => Math.trunc(0.5 + value * share * ONE)) };
  });
}
