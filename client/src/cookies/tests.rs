//! Which cookies go with which request.

use tokio_tungstenite::tungstenite::http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{COOKIE, SET_COOKIE},
};

use super::Headers;

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap()
}

fn sets(cookies: &[&str]) -> HeaderMap {
    let each = cookies.iter().map(|cookie| (SET_COOKIE, value(cookie)));
    each.collect()
}

fn sent(headers: &Headers, path: &str) -> Option<String> {
    let headers = headers.of(path, false);
    let cookie = headers.get(COOKIE)?;
    Some(cookie.to_str().unwrap().to_owned())
}

#[test]
fn f87_cookies_of_an_answer_go_with_later_requests_and_replace_their_like() {
    let mut headers = Headers::default();
    headers.append(COOKIE, value("a=1; b=2"));
    headers.append(COOKIE, value("c=3"));
    assert_eq!(sent(&headers, "/chsk").as_deref(), Some("a=1; b=2; c=3"));
    headers.learn(&sets(&["b=4; Path=/; HttpOnly"]), "/login", false);
    assert_eq!(sent(&headers, "/chsk").as_deref(), Some("a=1; c=3; b=4"));
    headers.learn(&sets(&["b=; Path=/; Max-Age=0"]), "/logout", false);
    headers.learn(
        &sets(&["c=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT"]),
        "/logout",
        false,
    );
    assert_eq!(sent(&headers, "/chsk").as_deref(), Some("a=1"));
    headers.set(COOKIE, value("d=5"));
    assert_eq!(sent(&headers, "/chsk").as_deref(), Some("d=5"));
}

#[test]
fn a_cookie_keeps_to_its_path() {
    let mut headers = Headers::default();
    headers.learn(
        &sets(&["app=1; Path=/app", "here=2", "root=3; Path=/"]),
        "/files/one",
        false,
    );
    assert_eq!(sent(&headers, "/app").as_deref(), Some("app=1; root=3"));
    assert_eq!(sent(&headers, "/app/x").as_deref(), Some("app=1; root=3"));
    assert_eq!(sent(&headers, "/apple").as_deref(), Some("root=3"));
    assert_eq!(
        sent(&headers, "/files/two").as_deref(),
        Some("here=2; root=3")
    );
}

#[test]
fn a_secure_cookie_neither_comes_nor_goes_in_the_open() {
    let mut headers = Headers::default();
    headers.learn(&sets(&["a=1; Secure; Path=/"]), "/", false);
    assert_eq!(sent(&headers, "/"), None);
    headers.learn(&sets(&["a=1; Secure; Path=/"]), "/", true);
    assert_eq!(sent(&headers, "/"), None);
    assert_eq!(headers.of("/", true)[COOKIE], "a=1");
}

#[test]
fn cookies_are_bounded_and_bad_ones_are_passed_over() {
    let mut headers = Headers::default();
    headers.learn(&sets(&["", "no-value", "=7"]), "/", false);
    for n in 0..100 {
        headers.learn(&sets(&[&format!("c{n}=1")]), "/", false);
    }
    let sent = sent(&headers, "/").unwrap();
    assert_eq!(sent.split("; ").count(), super::MAX_COOKIES);
    assert!(sent.ends_with("c99=1"));
}

#[test]
fn other_headers_are_repeated_or_replaced() {
    let name = HeaderName::from_static("x-one");
    let mut headers = Headers::default();
    headers.append(name.clone(), value("1"));
    headers.append(name.clone(), value("2"));
    assert_eq!(headers.of("/", false).get_all(&name).iter().count(), 2);
    headers.set(name.clone(), value("3"));
    let all = headers.of("/", false);
    assert_eq!(all.get_all(&name).iter().collect::<Vec<_>>(), ["3"]);
}
