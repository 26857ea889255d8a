//! Reads a built value as a Rust type, more forgiving about numbers than CBOR alone would be.

use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::codes::{ErrorCode, Refusal};
use crate::value::Value;

/// `value` as a `T`.
pub(crate) fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Refusal> {
    T::deserialize(Typed(value)).map_err(|Failed(why)| {
        Refusal::new(
            ErrorCode::UNDECODABLE,
            format!("not of the expected type: {why}"),
        )
    })
}

#[derive(Debug)]
pub(crate) struct Failed(String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

impl de::Error for Failed {
    fn custom<T: fmt::Display>(why: T) -> Failed {
        Failed(why.to_string())
    }
}

/// A value on its way into a type. Each type's visitor takes what it can use: a float takes any
/// number, an integer a float only if it is no float by type.
pub(crate) struct Typed(Value);

impl IntoDeserializer<'_, Failed> for Value {
    type Deserializer = Typed;

    fn into_deserializer(self) -> Typed {
        Typed(self)
    }
}

impl Typed {
    /// The value inside all tags.
    fn untagged(self) -> Value {
        let mut value = self.0;
        while let Value::Tag(_, content) = value {
            value = *content;
        }
        value
    }
}

impl<'de> Deserializer<'de> for Typed {
    type Error = Failed;

    // UUIDs and the like come as bytes, as ciborium writes them.
    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        match self.untagged() {
            Value::Null => visitor.visit_unit(),
            Value::Bool(truth) => visitor.visit_bool(truth),
            Value::Int(number) => match (u64::try_from(number), i64::try_from(number)) {
                (Ok(number), _) => visitor.visit_u64(number),
                (_, Ok(number)) => visitor.visit_i64(number),
                _ => visitor.visit_i128(number),
            },
            Value::Float(number) => visitor.visit_f64(number),
            Value::Text(text) => visitor.visit_string(text),
            Value::Time(time) => visitor.visit_str(time.as_str()),
            Value::Bytes(bytes) => visitor.visit_bytes(&bytes),
            Value::Uuid(uuid) => visitor.visit_bytes(uuid.as_bytes()),
            Value::Array(items) => whole(SeqDeserializer::new(items.into_iter()), |access| {
                visitor.visit_seq(access)
            }),
            Value::Map(pairs) => {
                let mut access = MapDeserializer::new(pairs.into_iter());
                let built = visitor.visit_map(&mut access)?;
                access.end()?;
                Ok(built)
            }
            // All tags are off.
            Value::Tag(..) => Err(Failed("tag".to_owned())),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            value => visitor.visit_some(Typed(value)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failed> {
        visitor.visit_newtype_struct(self)
    }

    // A sequence of numbers may have been sent as bytes, which is what they are for JavaScript.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        match self.untagged() {
            Value::Bytes(bytes) => whole(SeqDeserializer::new(bytes.into_iter()), |access| {
                visitor.visit_seq(access)
            }),
            value => Typed(value).deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Failed> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failed> {
        match self.untagged() {
            Value::Map(mut pairs) if pairs.len() == 1 => match pairs.pop() {
                Some((variant, content)) => visitor.visit_enum(Enum {
                    variant,
                    content: Some(content),
                }),
                None => Err(Failed("enum without a variant".to_owned())),
            },
            variant => visitor.visit_enum(Enum {
                variant,
                content: None,
            }),
        }
    }

    // A type that wants text takes a UUID's; one that wants bytes gets those.
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        match self.untagged() {
            Value::Uuid(uuid) => visitor.visit_string(uuid.hyphenated().to_string()),
            value => Typed(value).deserialize_any(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        self.deserialize_string(visitor)
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        match big(&self.0) {
            Some((false, number)) if i128::try_from(number).is_ok() => {
                visitor.visit_i128(number as i128)
            }
            Some((true, number)) if i128::try_from(number).is_ok() => {
                visitor.visit_i128(-1 - number as i128)
            }
            Some(_) => Err(Failed("integer is too large".to_owned())),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        match big(&self.0) {
            Some((false, number)) => visitor.visit_u128(number),
            Some(_) => Err(Failed("integer is negative".to_owned())),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char bytes byte_buf unit unit_struct
        tuple_struct map struct identifier
    }
}

/// An integer that does not fit CBOR's own (RFC 8949 section 3.4.3): whether it is negative, and
/// the number, or −1 minus it.
fn big(value: &Value) -> Option<(bool, u128)> {
    let Value::Tag(tag @ 2..=3, content) = value else {
        return None;
    };
    let Value::Bytes(bytes) = &**content else {
        return None;
    };
    let digits = bytes.iter().copied().skip_while(|byte| *byte == 0);
    let number = digits
        .clone()
        .fold(0, |number, byte| number << 8 | u128::from(byte));
    (digits.count() <= 16).then_some((*tag == 3, number))
}

/// Has `visit` read a sequence, and refuses elements that it left.
fn whole<'de, I, T, R>(
    mut access: SeqDeserializer<I, Failed>,
    visit: impl FnOnce(&mut SeqDeserializer<I, Failed>) -> Result<R, Failed>,
) -> Result<R, Failed>
where
    I: Iterator<Item = T>,
    T: IntoDeserializer<'de, Failed>,
{
    let built = visit(&mut access)?;
    access.end()?;
    Ok(built)
}

/// An enum as serde writes it: the variant's name, or a map from it to the content.
struct Enum {
    variant: Value,
    content: Option<Value>,
}

impl<'de> EnumAccess<'de> for Enum {
    type Error = Failed;
    type Variant = Content;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Content), Failed> {
        Ok((
            seed.deserialize(Typed(self.variant))?,
            Content(self.content),
        ))
    }
}

struct Content(Option<Value>);

impl Content {
    fn present(self) -> Result<Typed, Failed> {
        self.0
            .map(Typed)
            .ok_or_else(|| Failed("enum variant without its content".to_owned()))
    }
}

impl<'de> VariantAccess<'de> for Content {
    type Error = Failed;

    fn unit_variant(self) -> Result<(), Failed> {
        match self.0 {
            None | Some(Value::Null) => Ok(()),
            Some(_) => Err(Failed("enum variant with unexpected content".to_owned())),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Failed> {
        seed.deserialize(self.present()?)
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Failed> {
        self.present()?.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failed> {
        self.present()?.deserialize_any(visitor)
    }
}
