// Operations on images, with the rounding of OpenCV, which the server uses.
//
// An image is { data, width, height, offset, stride }: `data` has 4 bytes per pixel (R, G, B, and one
// that is not used), and pixel (x, y) begins at 4 · (offset + y · stride + x).

export function imageOf(data, width, height) {
  return { data, width, height, offset: 0, stride: width };
}

function empty(width, height) {
  return imageOf(new Uint8Array(4 * width * height), width, height);
}

// The part from (left, top) to (right, bottom), clipped to the image; it shares the pixels.
export function part(image, left, top, right, bottom) {
  return {
    ...image,
    offset: image.offset + top * image.stride + left,
    width: Math.min(right, image.width) - left,
    height: Math.min(bottom, image.height) - top,
  };
}

// Half as wide and high, at least one pixel: the mean of four pixels, as cv2.INTER_AREA.
export function halved(image) {
  const { data, width, height, offset, stride } = image;
  const result = empty(Math.max(1, width >> 1), Math.max(1, height >> 1));
  const right = width > 1 ? 4 : 0;
  const below = height > 1 ? 4 * stride : 0;
  let to = 0;
  for (let y = 0; y < result.height; y += 1) {
    let from = 4 * (offset + 2 * y * stride);
    for (let x = 0; x < result.width; x += 1, from += 8, to += 4) {
      for (let c = 0; c < 3; c += 1) {
        const at = from + c;
        result.data[to + c] = (data[at] + data[at + right] + data[at + below] + data[at + right + below] + 2) >> 2;
      }
    }
  }
  return result;
}

// Scaled as cv2.INTER_LINEAR: weights of 11 bits.
export function scaledLinearly(image, width, height) {
  const { data, offset, stride } = image;
  const result = empty(width, height);
  const columns = linearWeights(image.width, width);
  const rows = linearWeights(image.height, height);
  const cache = [
    { row: -1, values: new Int32Array(3 * width) },
    { row: -1, values: new Int32Array(3 * width) },
  ];
  const stretched = (row) => {
    const known = cache.find((one) => one.row === row);
    if (known) return known.values;
    const [first, second] = cache;
    const chosen = first.row < second.row ? first : second; // rows are requested in rising order
    chosen.row = row;
    const start = 4 * (offset + row * stride);
    for (let x = 0, to = 0; x < width; x += 1, to += 3) {
      const left = start + 4 * columns.first[x];
      const right = start + 4 * columns.second[x];
      const a = columns.weight[x];
      for (let c = 0; c < 3; c += 1) chosen.values[to + c] = data[left + c] * (2048 - a) + data[right + c] * a;
    }
    return chosen.values;
  };
  for (let y = 0, to = 0; y < height; y += 1) {
    const above = stretched(rows.first[y]);
    const below = stretched(rows.second[y]);
    const b = rows.weight[y];
    for (let x = 0, from = 0; x < width; x += 1, to += 4, from += 3) {
      for (let c = 0; c < 3; c += 1) {
        const upper = ((2048 - b) * (above[from + c] >> 4)) >> 16;
        const lower = (b * (below[from + c] >> 4)) >> 16;
        result.data[to + c] = (upper + lower + 2) >> 2;
      }
    }
  }
  return result;
}

// For each of `target` pixels the two of `source` between which it lies, and the second one's weight.
function linearWeights(source, target) {
  const scale = source / target;
  const first = new Int32Array(target);
  const second = new Int32Array(target);
  const weight = new Int32Array(target);
  for (let index = 0; index < target; index += 1) {
    const place = Math.fround((index + 0.5) * scale - 0.5);
    const floor = Math.floor(place);
    first[index] = Math.max(0, Math.min(source - 1, floor));
    second[index] = Math.max(0, Math.min(source - 1, floor + 1));
    weight[index] = roundHalfEven(2048 * (place - floor));
  }
  return { first, second, weight };
}

// Rotated clockwise by `turn` · 90°.
export function turned(image, turn) {
  if (turn === 0) return image;
  const { data, width, height, offset, stride } = image;
  const result = turn === 2 ? empty(width, height) : empty(height, width);
  const source = new Uint32Array(data.buffer, data.byteOffset, data.length >> 2);
  const target = new Uint32Array(result.data.buffer);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const [column, row] = [null, [height - 1 - y, x], [width - 1 - x, height - 1 - y], [y, width - 1 - x]][turn];
      target[row * result.width + column] = source[offset + y * stride + x];
    }
  }
  return result;
}

// ------------------------------------------------------------------ rotation

const STEPS = 32; // positions between two pixels, as cv2.warpAffine has them

// cv2.warpAffine with INTER_CUBIC, WARP_INVERSE_MAP and BORDER_REPLICATE, to `size` × `size` pixels.
// `matrix` [2][3] gives the place in the image of a pixel of the result.
export function warped(image, [[xx, xy, x0], [yx, yy, y0]], size) {
  const { data, width, height, offset, stride } = image;
  const result = empty(size, size);
  const rounding = 1024 / STEPS / 2;
  const across = Int32Array.from({ length: size }, (_, x) => roundHalfEven(1024 * xx * x));
  const down = Int32Array.from({ length: size }, (_, x) => roundHalfEven(1024 * yx * x));
  const columns = new Int32Array(4);
  for (let y = 0, to = 0; y < size; y += 1) {
    const startX = roundHalfEven(1024 * (xy * y + x0)) + rounding;
    const startY = roundHalfEven(1024 * (yy * y + y0)) + rounding;
    for (let x = 0; x < size; x += 1, to += 4) {
      const fineX = (startX + across[x]) >> 5;
      const fineY = (startY + down[x]) >> 5;
      const left = (fineX >> 5) - 1;
      const top = (fineY >> 5) - 1;
      const weights = 16 * ((fineY & 31) * STEPS + (fineX & 31));
      for (let i = 0; i < 4; i += 1) columns[i] = 4 * Math.max(0, Math.min(width - 1, left + i));
      let red = 1 << 14;
      let green = red;
      let blue = red;
      for (let j = 0, k = weights; j < 4; j += 1) {
        const row = 4 * (offset + Math.max(0, Math.min(height - 1, top + j)) * stride);
        for (let i = 0; i < 4; i += 1, k += 1) {
          const at = row + columns[i];
          const weight = CUBIC[k];
          red += data[at] * weight;
          green += data[at + 1] * weight;
          blue += data[at + 2] * weight;
        }
      }
      result.data[to] = clamped(red >> 15);
      result.data[to + 1] = clamped(green >> 15);
      result.data[to + 2] = clamped(blue >> 15);
    }
  }
  return result;
}

// The weights of 4 × 4 pixels for each of STEPS × STEPS positions, in 15 bits; they sum to 32768.
const CUBIC = cubicWeights();

function cubicWeights() {
  const along = Array.from({ length: STEPS }, (_, step) => cubic(step / STEPS).map(Math.fround));
  const table = new Int32Array(16 * STEPS * STEPS);
  for (let y = 0, start = 0; y < STEPS; y += 1) {
    for (let x = 0; x < STEPS; x += 1, start += 16) {
      let sum = 0;
      for (let k = 0; k < 16; k += 1) {
        table[start + k] = roundHalfEven(32768 * Math.fround(along[y][k >> 2] * along[x][k & 3]));
        sum += table[start + k];
      }
      // OpenCV corrects one of the weights at [2, 2], [2, 3], [3, 2] and [3, 3].
      let [least, most] = [10, 10];
      for (const k of [10, 11, 14, 15]) {
        if (table[start + k] < table[start + least]) least = k;
        else if (table[start + k] > table[start + most]) most = k;
      }
      table[start + (sum < 32768 ? most : least)] -= sum - 32768;
    }
  }
  return table;
}

// Cubic convolution (Keys, 1981) with A = -0.75.
function cubic(x) {
  const A = -0.75;
  const outer = (distance) => ((A * distance - 5 * A) * distance + 8 * A) * distance - 4 * A;
  const inner = (distance) => ((A + 2) * distance - (A + 3)) * distance * distance + 1;
  const weights = [outer(x + 1), inner(x), inner(1 - x)];
  return [...weights, 1 - weights[0] - weights[1] - weights[2]];
}

// ------------------------------------------------------------------ values

// Grey levels, as cv2.COLOR_BGR2GRAY.
export function grey(image) {
  const { data, width, height } = image;
  const result = new Uint8Array(width * height);
  for (let index = 0, from = 0; index < result.length; index += 1, from += 4) {
    result[index] = (9798 * data[from] + 19235 * data[from + 1] + 3735 * data[from + 2] + 16384) >> 15;
  }
  return result;
}

// Float32 [3, height, width] in the order B, G, R; right and below, `border` pixels repeat the
// border, and the rest is 0.
export function planes(image, height, width, border) {
  const { data, offset, stride } = image;
  const result = new Float32Array(3 * height * width);
  const [shownHeight, shownWidth] = [Math.max(image.height, border), Math.max(image.width, border)];
  for (let y = 0; y < shownHeight; y += 1) {
    const row = offset + Math.min(y, image.height - 1) * stride;
    for (let x = 0, to = y * width; x < shownWidth; x += 1, to += 1) {
      const from = 4 * (row + Math.min(x, image.width - 1));
      result[to] = data[from + 2];
      result[to + height * width] = data[from + 1];
      result[to + 2 * height * width] = data[from];
    }
  }
  return result;
}

function clamped(value) {
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

// As round() of Python and cvRound() of OpenCV.
export function roundHalfEven(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}
