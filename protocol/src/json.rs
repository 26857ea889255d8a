//! JSON (RFC 8259): checking, reading and writing values.

use crate::codes::Refusal;
use crate::limits::Limits;
use crate::value::Value;

pub(crate) fn check(_bytes: &[u8], _limits: &Limits) -> Result<(), Refusal> {
    unimplemented!()
}
pub(crate) fn read(_bytes: &bytes::Bytes) -> Result<Value, Refusal> {
    unimplemented!()
}
pub(crate) fn write(_value: &Value, _out: &mut Vec<u8>) -> Result<(), Refusal> {
    unimplemented!()
}
