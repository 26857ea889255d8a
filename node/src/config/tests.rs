//! What the settings promise: defaults hold, later sources win, and whatever is wrong is named.

use super::*;

fn load(environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, String> {
    let own = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect::<Vec<_>>()
    };
    Config::from(None, own(environment), own(flags)).map_err(|error| error.to_string())
}

#[test]
fn defaults_are_valid() {
    let config = Config::defaults();
    assert_eq!(config.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(config.admin_listen.to_string(), "127.0.0.1:9090");
    assert_eq!(config.max_queue_bytes, Bytes(2 << 20));
    assert_eq!(config.ping, Duration::from_secs(15));
    assert!(config.nats_url.is_none() && config.cookie_key.is_none());
}

#[test]
fn every_printed_value_reads_back() {
    let lines = Config::defaults().lines();
    let printed: Vec<_> = lines
        .iter()
        .filter(|(key, _)| !key.secret)
        .map(|(key, text)| (key.name, text.as_str()))
        .collect();
    let again = load(&[], &printed).unwrap();
    assert_eq!(again.lines(), lines);
}

#[test]
fn flags_win_over_environment_over_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tengen.toml");
    std::fs::write(&file, "ping = \"20s\"\nmax_bytes = 2048\nprefix = \"file\"").unwrap();
    let environment = [
        ("TENGEN_PING", "25s"),
        ("TENGEN_PREFIX", "env"),
        ("HOME", "/"),
    ];
    let flags = [("prefix", "flag")];
    let own = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect::<Vec<_>>()
    };
    let config = Config::from(Some(&file), own(&environment), own(&flags)).unwrap();
    assert_eq!(config.max_bytes, Bytes(2048));
    assert_eq!(config.ping, Duration::from_secs(25));
    assert_eq!(config.prefix, "flag");
}

#[test]
fn a_wrong_value_names_key_value_source_and_range() {
    for (name, text, parts) in [
        (
            "TENGEN_PING",
            "90s",
            ["ping", "90s", "TENGEN_PING", "1s to 60s"],
        ),
        (
            "TENGEN_LISTEN",
            "here",
            ["listen", "here", "TENGEN_LISTEN", "ADDR:PORT"],
        ),
        (
            "TENGEN_MAX_BYTES",
            "12",
            ["max_bytes", "12", "BYTES", "1KiB to 64MiB"],
        ),
        (
            "TENGEN_NODE_ID",
            "Not Ok",
            ["node_id", "Not Ok", "TENGEN_NODE_ID", "a-z"],
        ),
        (
            "TENGEN_PREFIX",
            "a b",
            ["prefix", "a b", "TENGEN_PREFIX", "token"],
        ),
        (
            "TENGEN_PATH",
            "chsk",
            ["path", "chsk", "TENGEN_PATH", "/chsk"],
        ),
        (
            "TENGEN_LOG_FORMAT",
            "xml",
            ["log_format", "xml", "TENGEN_LOG_FORMAT", "text|json"],
        ),
    ] {
        let error = load(&[(name, text)], &[]).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "{error:?} lacks {part:?}");
        }
    }
}

#[test]
fn a_secret_is_never_shown() {
    let error = load(&[("TENGEN_COOKIE_KEY", "c2VjcmV0")], &[]).unwrap_err();
    assert!(
        error.contains("cookie_key") && !error.contains("c2VjcmV0"),
        "{error}"
    );
    let key = "correct horse battery staple correct horse";
    let config = load(&[("TENGEN_COOKIE_KEY", key)], &[]).unwrap();
    let shown = format!("{config:?} {:?}", config.lines());
    assert!(!shown.contains(&key[..20]), "{shown}");
}

#[test]
fn a_secret_may_stand_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let key = "correct horse battery staple correct horse";
    std::fs::write(&file, format!("{key}\n")).unwrap();
    let config = load(&[("TENGEN_COOKIE_KEY_FILE", file.to_str().unwrap())], &[]).unwrap();
    let expected = crate::identity::cookie::CookieKey::from_secret(key.as_bytes()).unwrap();
    assert_eq!(
        config.cookie_key.unwrap().fingerprint(),
        expected.fingerprint()
    );
}

#[test]
fn a_cluster_needs_a_shared_cookie_key() {
    let error = load(&[("TENGEN_NATS_URL", "nats://127.0.0.1:4222")], &[]).unwrap_err();
    assert!(error.contains("TENGEN_COOKIE_KEY"), "{error}");
}

#[test]
fn unknown_keys_of_a_file_or_flag_are_errors_with_a_suggestion() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tengen.toml");
    std::fs::write(&file, "queue_bytes = 1").unwrap();
    let error = Config::from(Some(&file), [], []).unwrap_err().to_string();
    assert!(
        error.contains("queue_bytes") && error.contains("max_queue_bytes"),
        "{error}"
    );
    assert!(load(&[], &[("pong", "1s")]).unwrap_err().contains("pong"));
}

#[test]
fn unknown_variables_are_remembered_for_a_warning() {
    let mut sources = Sources::default();
    sources
        .add_environment([("TENGEN_PORT".to_owned(), "tcp://10.0.0.1:80".to_owned())])
        .unwrap();
    assert_eq!(sources.unknown_variables, ["TENGEN_PORT"]);
}

#[test]
fn the_schema_lists_every_key() {
    let schema = schema();
    for key in KEYS {
        assert!(
            schema["properties"][key.name]["description"].is_string(),
            "{}",
            key.name
        );
    }
}

/// `UPDATE=1 cargo test -p tengen-node readme` writes the table anew.
#[test]
fn the_readme_lists_every_setting() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once("<!-- settings -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- end of settings -->").unwrap();

    let mut table =
        String::from("| variable, flag | default | range | what |\n|---|---|---|---|\n");
    for key in KEYS {
        let file = if key.secret {
            format!(", `{}_FILE`", key.variable())
        } else {
            String::new()
        };
        table += &format!(
            "| `{}`{file}, `--{}` | {} | {} | {} |\n",
            key.variable(),
            key.flag(),
            if key.default.is_empty() {
                "none".to_owned()
            } else {
                format!("`{}`", key.default)
            },
            if key.range.is_empty() {
                key.kind.replace('|', " or ")
            } else {
                key.range.to_owned()
            },
            key.doc.trim().replace('\n', " "),
        );
    }
    let expected = format!("{before}<!-- settings -->\n{table}<!-- end of settings -->{after}");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    assert!(
        readme == expected || std::env::var_os("UPDATE").is_some(),
        "run it with UPDATE=1"
    );
}

#[test]
fn f58_a_poll_timeout_of_a_minute_or_more_is_refused_at_start() {
    assert_eq!(Config::defaults().poll_timeout, Duration::from_secs(20));
    for text in ["60s", "1m", "1h", "59500ms"] {
        let error = load(&[("TENGEN_POLL_TIMEOUT", text)], &[]).unwrap_err();
        for part in ["poll_timeout", "TENGEN_POLL_TIMEOUT", text, "100ms to 59s"] {
            assert!(error.contains(part), "{error}");
        }
    }
    let config = load(&[], &[("poll-timeout", "59s")]);
    assert_eq!(config.unwrap().poll_timeout, Duration::from_secs(59));
}
