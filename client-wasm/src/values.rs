//! Turns JavaScript values into Tengen's and back.
//!
//! A number with an integer value is an integer; `BigInt` serves where a number is no longer
//! exact. `Uint8Array` is bytes, `Date` an instant, an object a map with text keys, `Map` a map
//! with keys of any kind. `undefined` is null, and an object's member that is undefined is absent.

use bytes::Bytes;
use js_sys::{
    Array, ArrayBuffer, BigInt, Date, Function, JsString, Map, Object, Reflect, Uint8Array,
};
use tengen_protocol::{Limits, Time, Value};
use wasm_bindgen::prelude::*;

/// 2^53: a number with an integer value up to here is an integer, on both sides of the wire.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// The tag of an instant in CBOR.
const INSTANT: u64 = 0;

#[wasm_bindgen(module = "/js/values.js")]
extern "C" {
    #[wasm_bindgen(js_name = Uuid)]
    type JsUuid;
    #[wasm_bindgen(constructor, js_class = "Uuid")]
    fn new(text: &str) -> JsUuid;
    #[wasm_bindgen(method, js_class = "Uuid", js_name = toString)]
    fn text(this: &JsUuid) -> String;

    #[wasm_bindgen(js_name = Tag)]
    type JsTag;
    #[wasm_bindgen(constructor, js_class = "Tag")]
    fn new(tag: &JsValue, value: &JsValue) -> JsTag;
    #[wasm_bindgen(method, getter, js_class = "Tag")]
    fn tag(this: &JsTag) -> JsValue;
    #[wasm_bindgen(method, getter, js_class = "Tag")]
    fn value(this: &JsTag) -> JsValue;

    /// A stream for a `for await` loop; `end` is called when the loop is left.
    #[derive(Clone)]
    pub(crate) type Events;
    #[wasm_bindgen(constructor)]
    pub(crate) fn new(bound: u32, end: &Function) -> Events;
    #[wasm_bindgen(method)]
    pub(crate) fn push(this: &Events, event: &JsValue);
    #[wasm_bindgen(method)]
    pub(crate) fn finish(this: &Events);
}

/// Takes a JavaScript value apart.
///
/// # Errors
/// A sentence for the developer: a function, a symbol, a number no codec carries, text that is
/// no Unicode, an invalid `Date`, or nesting without end.
pub(crate) fn from_js(js: &JsValue) -> Result<Value, String> {
    nested(js, 0)
}

fn nested(js: &JsValue, depth: usize) -> Result<Value, String> {
    if depth > Limits::default().max_depth {
        return Err("nested too deeply, perhaps within itself".to_owned());
    }
    if js.is_null() || js.is_undefined() {
        return Ok(Value::Null);
    }
    if let Some(truth) = js.as_bool() {
        return Ok(Value::Bool(truth));
    }
    if let Some(number) = js.as_f64() {
        return Ok(from_number(number));
    }
    if let Some(text) = js.dyn_ref::<JsString>() {
        return from_text(text).map(Value::Text);
    }
    if let Some(big) = js.dyn_ref::<BigInt>() {
        let number = big
            .to_string(10)
            .ok()
            .and_then(|text| String::from(text).parse().ok());
        let number = number.filter(|number| Value::INTEGERS.contains(number));
        return number
            .map(Value::Int)
            .ok_or_else(|| "an integer beyond 64 bits".to_owned());
    }
    if Array::is_array(js) {
        let array: &Array = js.unchecked_ref();
        return array
            .iter()
            .map(|item| nested(&item, depth + 1))
            .collect::<Result<_, _>>()
            .map(Value::Array);
    }
    if js.is_object() {
        return from_object(js, depth);
    }
    Err(format!(
        "a {} cannot be sent",
        js.js_typeof().as_string().unwrap_or_default()
    ))
}

fn from_object(js: &JsValue, depth: usize) -> Result<Value, String> {
    if let Some(uuid) = js.dyn_ref::<JsUuid>() {
        return uuid
            .text()
            .parse()
            .map(Value::Uuid)
            .map_err(|_| "not a UUID".to_owned());
    }
    if let Some(bytes) = from_bytes(js) {
        return Ok(Value::Bytes(bytes));
    }
    if let Some(date) = js.dyn_ref::<Date>() {
        let text = if date.get_time().is_nan() {
            String::new()
        } else {
            date.to_iso_string().into()
        };
        return Time::parse(&text)
            .map(Value::Time)
            .ok_or_else(|| "a date outside the years 0 to 9999".to_owned());
    }
    if let Some(tagged) = js.dyn_ref::<JsTag>() {
        let Value::Int(tag) = nested(&tagged.tag(), depth)? else {
            return Err("a tag's number is no integer".to_owned());
        };
        let tag = u64::try_from(tag).map_err(|_| "a tag's number is negative".to_owned())?;
        return Ok(Value::Tag(
            tag,
            Box::new(nested(&tagged.value(), depth + 1)?),
        ));
    }
    let by_any_key = js.is_instance_of::<Map>();
    let pairs = if by_any_key {
        Array::from(js)
    } else {
        Object::entries(js.unchecked_ref())
    };
    let mut entries = Vec::with_capacity(pairs.length() as usize);
    for pair in pairs.iter() {
        let pair: Array = pair.unchecked_into();
        if by_any_key || !pair.get(1).is_undefined() {
            entries.push((
                nested(&pair.get(0), depth + 1)?,
                nested(&pair.get(1), depth + 1)?,
            ));
        }
    }
    Ok(Value::Map(entries))
}

/// Any view of bytes, and a buffer itself.
fn from_bytes(js: &JsValue) -> Option<Bytes> {
    let view = if let Some(bytes) = js.dyn_ref::<Uint8Array>() {
        bytes.clone()
    } else if js.is_instance_of::<ArrayBuffer>() {
        Uint8Array::new(js)
    } else if ArrayBuffer::is_view(js) {
        let part = |name: &str| Reflect::get(js, &name.into()).unwrap_or_default();
        let number = |name: &str| part(name).as_f64().unwrap_or_default() as u32;
        Uint8Array::new_with_byte_offset_and_length(
            &part("buffer"),
            number("byteOffset"),
            number("byteLength"),
        )
    } else {
        return None;
    };
    Some(Bytes::from(view.to_vec()))
}

fn from_number(number: f64) -> Value {
    let whole = number.fract() == 0.0 && number.abs() <= EXACT;
    // -0 has an integer value, but no integer is -0: as a float it comes back as it went.
    if whole && !(number == 0.0 && number.is_sign_negative()) {
        Value::Int(i128::from(number as i64))
    } else {
        Value::Float(number)
    }
}

fn from_text(text: &JsString) -> Result<String, String> {
    // Half a surrogate pair would silently become U+FFFD on the way.
    if text.is_valid_utf16() {
        Ok(text.into())
    } else {
        Err("text with half a surrogate pair".to_owned())
    }
}

/// Builds the JavaScript value.
pub(crate) fn to_js(value: &Value) -> JsValue {
    match value {
        Value::Null => JsValue::NULL,
        Value::Bool(truth) => JsValue::from_bool(*truth),
        Value::Int(number) => integer(*number),
        Value::Float(number) => JsValue::from_f64(*number),
        Value::Text(text) => JsValue::from_str(text),
        Value::Bytes(bytes) => Uint8Array::from(bytes.as_ref()).into(),
        Value::Array(items) => items.iter().map(to_js).collect::<Array>().into(),
        Value::Map(entries) => map(entries),
        Value::Uuid(uuid) => JsUuid::new(&uuid.to_string()).into(),
        Value::Time(time) => instant(time),
        Value::Tag(tag, inner) => JsTag::new(&integer(i128::from(*tag)), &to_js(inner)).into(),
    }
}

fn integer(number: i128) -> JsValue {
    if number.unsigned_abs() <= EXACT as u128 {
        JsValue::from_f64(number as f64)
    } else {
        BigInt::new(&JsValue::from_str(&number.to_string())).map_or(JsValue::NULL, JsValue::from)
    }
}

/// An object when every key is text, else a `Map`.
fn map(entries: &[(Value, Value)]) -> JsValue {
    if entries.iter().all(|(key, _)| matches!(key, Value::Text(_))) {
        let pairs: Array = entries
            .iter()
            .map(|(key, value)| Array::of2(&to_js(key), &to_js(value)))
            .collect();
        // Defines members; assigning would let a member called `__proto__` change the object's kind.
        Object::from_entries(&pairs).map_or(JsValue::NULL, JsValue::from)
    } else {
        let map = Map::new();
        for (key, value) in entries {
            map.set(&to_js(key), &to_js(value));
        }
        map.into()
    }
}

fn instant(time: &Time) -> JsValue {
    let date = Date::new(&JsValue::from_str(time.as_str()));
    if date.get_time().is_nan() {
        // A leap second, which JavaScript does not know: kept as it was written.
        JsTag::new(
            &integer(i128::from(INSTANT)),
            &JsValue::from_str(time.as_str()),
        )
        .into()
    } else {
        date.into()
    }
}
