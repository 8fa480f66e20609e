// Reading the arrays that Python packed into the page.

const ARRAY_TYPES = {
  float32: Float32Array,
  float64: Float64Array,
  int16: Int16Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
};

/** Arrays by name. They are deflated together, each with its bytes in planes: first the first byte
 * of all entries, then the second of all, and so on. */
async function readArrays(list, text) {
  const packed = new Blob([decodeBase64(text.trim())]);
  const stream = packed.stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const arrays = {};
  let start = 0;
  for (const { name, type, length } of list) {
    const values = new ARRAY_TYPES[type](length);
    const size = values.BYTES_PER_ELEMENT;
    const target = new Uint8Array(values.buffer);
    for (let plane = 0; plane < size; plane++) {
      for (let i = 0, to = plane; i < length; i++, to += size) target[to] = bytes[start + i];
      start += length;
    }
    arrays[name] = values;
  }
  return arrays;
}

function decodeBase64(text) {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}
