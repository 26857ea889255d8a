//! How the text of a setting becomes its value, and back.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Bytes, Count, LogFormat};
use crate::identity::cookie::CookieKey;

/// A kind of setting.
pub(super) trait Parse: Sized {
    /// What a value looks like, for help and errors.
    const KIND: &'static str;

    /// `None` if `text` is no such value.
    fn parse(text: &str) -> Option<Self>;

    /// The value of an empty default, for kinds that may be unset.
    fn unset() -> Option<Self> {
        None
    }

    /// As one would write it.
    fn text(&self) -> String;

    /// What may be shown of a secret: whether it is there.
    fn secret_text(&self) -> String {
        "(set)".to_owned()
    }

    /// Where it lies between two others, if the kind has an order.
    fn within(&self, _low: &Self, _high: &Self) -> bool {
        true
    }
}

impl Parse for SocketAddr {
    const KIND: &'static str = "ADDR:PORT";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Parse for String {
    const KIND: &'static str = "TEXT";

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn text(&self) -> String {
        self.clone()
    }
}

impl<T: Parse> Parse for Option<T> {
    const KIND: &'static str = T::KIND;

    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            Some(None)
        } else {
            T::parse(text).map(Some)
        }
    }

    fn unset() -> Option<Self> {
        Some(None)
    }

    fn text(&self) -> String {
        self.as_ref().map_or_else(String::new, T::text)
    }

    fn secret_text(&self) -> String {
        self.as_ref().map_or_else(String::new, T::secret_text)
    }
}

impl Parse for bool {
    const KIND: &'static str = "true|false";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Parse for Count {
    const KIND: &'static str = "COUNT";

    fn parse(text: &str) -> Option<Self> {
        text.replace('_', "").parse().ok().map(Count)
    }

    fn text(&self) -> String {
        self.0.to_string()
    }

    fn within(&self, low: &Self, high: &Self) -> bool {
        (low..=high).contains(&self)
    }
}

const SIZES: [(&str, usize); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl Parse for Bytes {
    const KIND: &'static str = "BYTES";

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = SIZES
            .iter()
            .find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|number| (number, *unit)))
            .unwrap_or((text, 1));
        number
            .trim()
            .parse::<usize>()
            .ok()?
            .checked_mul(unit)
            .map(Bytes)
    }

    fn text(&self) -> String {
        let (suffix, unit) = SIZES
            .iter()
            .find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit))
            .unwrap_or(&("B", 1));
        format!("{}{suffix}", self.0 / unit)
    }

    fn within(&self, low: &Self, high: &Self) -> bool {
        (low..=high).contains(&self)
    }
}

const DURATIONS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

impl Parse for Duration {
    const KIND: &'static str = "DURATION";

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = DURATIONS
            .iter()
            .find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|number| (number, *unit)))?;
        number
            .trim()
            .parse::<u64>()
            .ok()?
            .checked_mul(unit)
            .map(Duration::from_millis)
    }

    fn text(&self) -> String {
        let millis = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        let (suffix, unit) = DURATIONS
            .iter()
            .rev()
            .find(|(_, unit)| millis >= *unit && millis.is_multiple_of(*unit))
            .unwrap_or(&("ms", 1));
        format!("{}{suffix}", millis / unit)
    }

    fn within(&self, low: &Self, high: &Self) -> bool {
        (low..=high).contains(&self)
    }
}

impl Parse for LogFormat {
    const KIND: &'static str = "text|json";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        }
    }

    fn text(&self) -> String {
        match self {
            LogFormat::Text => "text".to_owned(),
            LogFormat::Json => "json".to_owned(),
        }
    }
}

impl Parse for CookieKey {
    const KIND: &'static str = "SECRET of at least 32 characters";

    fn parse(text: &str) -> Option<Self> {
        CookieKey::from_secret(text.trim().as_bytes()).ok()
    }

    fn text(&self) -> String {
        self.secret_text()
    }
}
