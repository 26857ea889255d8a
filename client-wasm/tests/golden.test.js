// The golden files of the protocol, read by the browser client: what Rust writes, JavaScript reads, and back.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { Tag, Uuid, decode, encode } from "./package.js";

const wire = async (name) => JSON.parse(await readFile(new URL(`../../protocol/wire/${name}`, import.meta.url), "utf8"));
const bytes = { cbor: (hex) => new Uint8Array(Buffer.from(hex, "hex")), json: (text) => new TextEncoder().encode(text) };
const written = { cbor: (out) => Buffer.from(out).toString("hex"), json: (out) => Buffer.from(out).toString() };

/** The value that the file writes as a JavaScript expression. */
const evaluate = (expression) => new Function("Uuid", "Tag", `return (${expression});`)(Uuid, Tag);

/** As `deepEqual`, and it looks into a Uuid, whose text is private. */
function same(actual, expected, what) {
  assert.deepEqual(plain(actual), plain(expected), what);
}

function plain(value) {
  if (value instanceof Uuid) return { uuid: String(value) };
  if (value instanceof Tag) return { tag: value.tag, value: plain(value.value) };
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return { map: [...value].map(plain) };
  if (value?.constructor === Object) return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]));
  return value;
}

const values = await wire("values.json");
for (const golden of values.values) {
  test(`f09_value_${golden.name.replaceAll(" ", "_")}`, async () => {
    for (const codec of ["cbor", "json"]) {
      const read = await decode(bytes[codec](golden[codec]), codec);
      for (const spelling of golden[`${codec}_too`] ?? []) {
        same(await decode(bytes[codec](spelling), codec), read, `${codec} ${spelling}`);
      }
      if (golden.js === null) continue;
      const expected = evaluate(golden.js);
      same(read, expected, codec);
      assert.equal(written[codec](await encode(expected, codec)), golden[codec], `${codec} as JavaScript writes it`);
    }
  });
}

for (const refused of values.refused) {
  test(`f74_no_value_${refused.name.replaceAll(" ", "_")}`, async () => {
    for (const codec of ["cbor", "json"]) {
      if (refused[codec] !== undefined) await assert.rejects(decode(bytes[codec](refused[codec]), codec), codec);
    }
  });
}

const frames = await wire("frames.json");
for (const side of ["client", "server"]) {
  for (const golden of frames[side]) {
    test(`f67_${side}_frame_${golden.name.replaceAll(" ", "_")}_is_one_value_in_both_codecs`, async () => {
      const [cbor, json] = await Promise.all(["cbor", "json"].map((codec) => decode(bytes[codec](golden[codec]), codec)));
      assert.ok(Array.isArray(cbor));
      same(cbor, json);
    });
  }
}
