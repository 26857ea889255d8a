//! Which targets are accepted.

use super::*;

#[test]
fn a_loopback_url_gives_its_address() {
    for (url, address) in [
        ("ws://127.0.0.1:8080/chsk", "127.0.0.1:8080"),
        ("ws://127.0.0.9/chsk", "127.0.0.9:80"),
        ("nats://127.0.0.1", "127.0.0.1:4222"),
        ("127.0.0.1:9090", "127.0.0.1:9090"),
        ("http://localhost:9090", "127.0.0.1:9090"),
    ] {
        assert_eq!(loopback(url).unwrap(), address.parse().unwrap(), "{url}");
    }
}

#[test]
fn a_foreign_target_is_refused() {
    for url in [
        "ws://10.0.0.1:8080/",
        "ws://192.0.2.1/",
        "ws://0.0.0.0:80/",
        "nats://[2001:db8::1]:4222",
        "ws://[::1]:80/",
    ] {
        let error = loopback(url).unwrap_err().to_string();
        assert!(error.contains("127.0.0.0/8"), "{url}: {error}");
    }
}

#[test]
fn tls_and_nonsense_are_refused() {
    assert!(Target::running("wss://127.0.0.1/chsk", None, None).is_err());
    assert!(Target::running("not a url", None, None).is_err());
    assert!(Target::running("ws://127.0.0.1/chsk", Some("10.1.1.1:9090"), None).is_err());
}
