// Every kind of value goes to bytes and back, in both codecs.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Tag, Uuid, decode, encode } from "./package.js";

const hex = (bytes) => Buffer.from(bytes).toString("hex");
const uuid = new Uuid("6ba7b810-9dad-11d1-80b4-00c04fd430c8");

/** [what, value, CBOR in hex, JSON] */
const TABLE = [
  ["null", null, "f6", "null"],
  ["true", true, "f5", "true"],
  ["zero", 0, "00", "0"],
  ["an integer", 1, "01", "1"],
  ["a float with an integer value", 1.0, "01", "1"],
  ["a negative integer", -500, "3901f3", "-500"],
  ["the last plain integer", 2 ** 53, "1b0020000000000000", "9007199254740992"],
  ["the first that is none", 2n ** 53n + 1n, "1b0020000000000001", '{"$int":"9007199254740993"}'],
  ["a 64-bit integer", 2n ** 64n - 1n, "1bffffffffffffffff", '{"$int":"18446744073709551615"}'],
  ["a negative 64-bit integer", -(2n ** 63n), "3b7fffffffffffffff", '{"$int":"-9223372036854775808"}'],
  ["a float", 1.5, undefined, "1.5"],
  ["negative zero", -0, undefined, "-0.0"],
  ["not a number", NaN, undefined, '{"$f64":"NaN"}'],
  ["infinity", Infinity, undefined, '{"$f64":"inf"}'],
  ["text", "Zoë 🦀", "695a6fc3ab20f09fa680", '"Zoë 🦀"'],
  ["no text", "", "60", '""'],
  ["bytes", new Uint8Array([0, 255]), "4200ff", '{"$bytes":"AP8="}'],
  ["no bytes", new Uint8Array(), "40", '{"$bytes":""}'],
  ["an array", [1, [], "a"], "8301806161", '[1,[],"a"]'],
  ["an object", { a: 1, b: null }, "a26161016162f6", '{"a":1,"b":null}'],
  ["an empty object", {}, "a0", "{}"],
  ["a map with other keys", new Map([[1, "one"], [null, 2]]), "a201636f6e65f602", '{"$map":[[1,"one"],[null,2]]}'],
  ["an object that looks like ours", { $bytes: "x" }, undefined, '{"$map":[["$bytes","x"]]}'],
  ["a uuid", uuid, "d825506ba7b8109dad11d180b400c04fd430c8", '{"$uuid":"6ba7b810-9dad-11d1-80b4-00c04fd430c8"}'],
  [
    "an instant",
    new Date("2026-11-21T03:21:42.500Z"),
    "c07818323032362d31312d32315430333a32313a34322e3530305a",
    '{"$time":"2026-11-21T03:21:42.500Z"}',
  ],
];

for (const [what, value, cbor, json] of TABLE) {
  test(`f09_${what.replaceAll(" ", "_")}_travels_equal_in_both_codecs`, async () => {
    const asCbor = await encode(value, "cbor");
    const asJson = await encode(value, "json");
    if (cbor !== undefined) assert.equal(hex(asCbor), cbor);
    assert.equal(Buffer.from(asJson).toString(), json);
    for (const back of [await decode(asCbor, "cbor"), await decode(asJson, "json")]) {
      assert.deepEqual(back, value);
      // Its text is private, out of sight for a comparison of members.
      if (value instanceof Uuid) assert.ok(value.equals(back));
    }
  });
}

test("f68_an_unknown_tag_survives", async () => {
  const tagged = new Tag(4711, ["a", new Uint8Array([1])]);
  for (const codec of ["cbor", "json"]) {
    const back = await decode(await encode(tagged, codec), codec);
    assert.ok(back instanceof Tag);
    assert.equal(back.tag, 4711);
    assert.deepEqual(back.value, tagged.value);
  }
});

test("f09_an_undefined_member_is_absent_and_an_undefined_item_is_null", async () => {
  assert.deepEqual(await decode(await encode({ a: undefined, b: [undefined] })), { b: [null] });
});

test("f09_a_member_called_proto_is_a_member", async () => {
  const hostile = JSON.parse('{"__proto__": {"admin": true}}');
  const back = await decode(await encode(hostile));
  assert.equal(back.admin, undefined);
  assert.deepEqual(Object.keys(back), ["__proto__"]);
});

test("any_view_of_bytes_is_sent_as_what_it_shows", async () => {
  const all = new Uint8Array([1, 2, 3, 4]);
  for (const view of [all.subarray(1, 3), new DataView(all.buffer, 1, 2), all.buffer.slice(1, 3)]) {
    assert.equal(hex(await encode(view)), "420203");
  }
});

test("what_no_codec_carries_is_refused_with_a_reason", async () => {
  const circle = {};
  circle.self = circle;
  for (const [value, reason] of [
    [() => 1, /function/],
    [Symbol("x"), /symbol/],
    ["half \ud800 a pair", /surrogate/],
    [new Date(NaN), /date/],
    [2n ** 70n, /64 bits/],
    [circle, /nested/],
  ]) {
    await assert.rejects(encode(value), reason);
  }
});

test("bytes_that_are_no_value_are_refused", async () => {
  for (const bytes of [[], [0xff], [0x01, 0x02], [0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]) {
    await assert.rejects(decode(new Uint8Array(bytes), "cbor"));
  }
});
