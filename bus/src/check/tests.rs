//! Subjects, patterns and headers, good and bad; agreement with NATS's own idea of a token.

use proptest::prelude::*;

use super::{pattern, publish, queue, subject};
use crate::Publish;

#[test]
fn wildcards_are_whole_tokens_of_patterns_only() {
    for text in ["a", "a.b", "a*.b", "a>.b>", "$SYS.x", "Zoë.ü", "a%20b"] {
        assert_eq!(
            (subject(text, 99), pattern(text)),
            (Ok(()), Ok(())),
            "{text}"
        );
    }
    for text in ["*", ">", "a.*", "a.*.b", "a.>", "*.*.>", "a>b.>"] {
        assert!(
            subject(text, 99).is_err() && pattern(text).is_ok(),
            "{text}"
        );
    }
    for text in [
        "",
        ".",
        "..",
        "a.",
        ".a",
        "a..b",
        ">.a",
        "a.>.b",
        "a b",
        "a\u{a0}b",
        "a\u{2028}",
    ] {
        assert!(
            subject(text, 99).is_err() && pattern(text).is_err(),
            "{text:?}"
        );
    }
    assert!(queue("workers.eu").is_ok() && queue("my workers").is_err());
}

#[test]
fn lengths_are_bytes() {
    assert!(subject("éé", 4).is_ok());
    assert!(subject("éé", 3).is_err());
}

proptest! {
    /// Whatever passes is one word on a protocol line, with whole tokens.
    #[test]
    fn what_passes_cannot_break_a_protocol_line(text in "\\PC{0,20}|[a-c. *>\\r\\n\\t]{0,12}") {
        if subject(&text, 2048).is_ok() {
            prop_assert!(!text.contains(|c: char| c.is_whitespace() || c.is_control()));
            prop_assert!(text.split('.').all(|token| !token.is_empty() && token != "*" && token != ">"));
            prop_assert!(pattern(&text).is_ok());
        }
    }

    #[test]
    fn headers_that_pass_are_one_line_each(name in "\\PC{0,8}|[a-c:\\r\\n ]{0,4}", value in "\\PC{0,8}|[a-c:\\r\\n ]{0,4}") {
        let message = Publish::new("a", "").header(name.clone(), value.clone());
        if publish(&message, 1000).is_ok() {
            let line = format!("{name}: {value}");
            prop_assert_eq!(line.lines().count(), 1);
            prop_assert_eq!(line.split_once(':'), Some((name.as_str(), &line[name.len() + 1..])));
            prop_assert_eq!(value.trim(), value.as_str());
        }
    }
}
