//! Who a request is: cookies that hold, cookies that do not, hooks that decide, refuse and hang.

use axum::http::{Request, StatusCode, header, request::Parts};
use axum::response::IntoResponse as _;
use tengen_protocol::{Codec, Uid};
use tower_cookies::Cookies;

use super::cookie::{CookieKey, CookieSettings, SessionCookies};
use super::refused::Refused;
use super::session_map::SessionMap;
use super::{Identified, Identity, NewVisitors, unix_seconds};

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

fn uid(text: &str) -> Uid {
    Uid::try_from(text).unwrap()
}

fn cookies() -> SessionCookies {
    let key = CookieKey::from_secret(SECRET).unwrap();
    SessionCookies::new(CookieSettings::default(), key)
}

fn parts(cookie: Option<&str>) -> Parts {
    let mut request = Request::builder().uri("/chsk?received=1");
    if let Some(cookie) = cookie {
        request = request.header(header::COOKIE, cookie);
    }
    request.body(()).unwrap().into_parts().0
}

/// The `name=value` that a browser would send back after `set_cookie`.
fn sent_back(set_cookie: &str) -> String {
    set_cookie.split(';').next().unwrap().to_owned()
}

fn cookie_of(who: &str) -> String {
    let session = cookies().begin(&uid(who), unix_seconds());
    let value = cookies().set_cookie(&session, false).unwrap();
    sent_back(value.to_str().unwrap())
}

async fn identify(identity: &Identity, cookie: Option<&str>) -> Identified {
    identity.identify(&parts(cookie)).await.unwrap()
}

#[tokio::test]
async fn f44_the_uid_comes_from_the_session_cookie_on_every_node_with_the_key() {
    let minted_elsewhere = cookie_of("Zoë 🦀.*.>");
    let identity = Identity::new(cookies(), NewVisitors::Anonymous);
    let who = identify(
        &identity,
        Some(&format!("theme=dark; {minted_elsewhere}; x=y")),
    )
    .await;
    assert_eq!(who.uid(), Some(&uid("Zoë 🦀.*.>")));
    assert_eq!(who.set_cookie(), None);
}

#[tokio::test]
async fn a_cookie_of_another_key_or_tampered_with_or_expired_is_anonymous() {
    let identity = Identity::new(cookies(), NewVisitors::Anonymous);
    let other = SessionCookies::new(CookieSettings::default(), CookieKey::random());
    let foreign = other
        .set_cookie(&other.begin(&uid("alice"), unix_seconds()), false)
        .unwrap();
    let mut tampered = cookie_of("alice");
    let last = tampered.pop().unwrap();
    tampered.push(if last == 'A' { 'B' } else { 'A' });
    let long_ago = cookies().begin(&uid("alice"), 1);
    let expired = cookies().set_cookie(&long_ago, false).unwrap();
    for cookie in [
        sent_back(foreign.to_str().unwrap()),
        tampered,
        sent_back(expired.to_str().unwrap()),
        "tengen=".into(),
        "tengen=%ff%00;;;=".into(),
        "tengen={\"uid\":\"alice\",\"expires\":99999999999}".into(),
    ] {
        let who = identify(&identity, Some(&cookie)).await;
        assert_eq!(who.uid(), None, "{cookie}");
        assert!(who.session().is_none(), "{cookie}");
    }
}

#[tokio::test]
async fn a_foreign_cookie_of_our_name_does_not_log_a_user_out() {
    let identity = Identity::new(cookies(), NewVisitors::Anonymous);
    let both = format!("tengen=somebody-elses; {}", cookie_of("alice"));
    assert_eq!(
        identify(&identity, Some(&both)).await.uid(),
        Some(&uid("alice"))
    );
}

#[tokio::test]
async fn f48b_first_contact_sets_a_cookie_with_a_random_uid_and_two_tabs_are_one_user() {
    let identity = Identity::new(cookies(), NewVisitors::RandomUid);
    let first = identify(&identity, None).await;
    let set_cookie = first.set_cookie().unwrap().to_str().unwrap().to_owned();
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=2592000"] {
        assert!(
            set_cookie.contains(attribute),
            "{attribute} in {set_cookie}"
        );
    }
    assert!(
        !set_cookie.contains("Secure"),
        "the page was http: {set_cookie}"
    );
    let second = identify(&identity, Some(&sent_back(&set_cookie))).await;
    assert_eq!(second.uid(), first.uid());
    assert_eq!(second.set_cookie(), None);
    assert_ne!(identify(&identity, None).await.uid(), first.uid());
}

#[tokio::test]
async fn f47_without_cookie_and_choice_a_client_is_anonymous_and_gets_no_cookie() {
    let identity = Identity::new(cookies(), NewVisitors::Anonymous);
    let who = identify(&identity, None).await;
    assert_eq!((who.uid(), who.set_cookie()), (None, None));
}

#[tokio::test]
async fn f45_a_function_of_the_request_decides_instead_and_sees_layers_and_session() {
    let identity =
        Identity::new(cookies(), NewVisitors::RandomUid).with_user_id(|parts: Parts| async move {
            let tenant = parts
                .extensions
                .get::<&'static str>()
                .copied()
                .unwrap_or("none");
            let session = parts
                .extensions
                .get::<SessionMap>()
                .and_then(SessionMap::uid);
            match session {
                Some(who) => Ok(Some(
                    Uid::try_from(format!("{tenant}/{who}").as_str()).unwrap(),
                )),
                None => Err(Refused::unauthorized("log in first")),
            }
        });
    let cookie = cookie_of("alice");
    let mut request = parts(Some(&cookie));
    request.extensions.insert("acme");
    let who = identity.identify(&request).await.unwrap();
    assert_eq!(who.uid(), Some(&uid("acme/alice")));
    let refused = identity.identify(&parts(None)).await.unwrap_err();
    assert_eq!(
        (refused.status(), refused.code()),
        (StatusCode::UNAUTHORIZED, 4501)
    );
}

#[tokio::test]
async fn f36_handshake_data_knows_the_uid_and_may_refuse() {
    let identity = Identity::new(cookies(), NewVisitors::Anonymous).with_handshake_data(
        |_: Parts, who: Option<Uid>| async move {
            match who {
                Some(who) => Ok(vec![who.to_string(), "welcome".into()]),
                None => Err(Refused::forbidden("members only").with_code(1007)),
            }
        },
    );
    let request = parts(Some(&cookie_of("alice")));
    let who = identity.identify(&request).await.unwrap();
    let told = identity.handshake(&request, &who).await.unwrap();
    assert_eq!(told.to::<Vec<String>>().unwrap(), ["alice", "welcome"]);

    let refused = identity
        .handshake(&parts(None), &Identified::default())
        .await
        .unwrap_err();
    let response = refused.into_response();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(response.headers()["tengen-error"], "1007");
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
}

#[tokio::test]
async fn without_a_hook_the_handshake_says_null() {
    let identity = Identity::new(cookies(), NewVisitors::Anonymous);
    let told = identity
        .handshake(&parts(None), &Identified::default())
        .await
        .unwrap();
    assert_eq!(told, tengen_protocol::Data::null(Codec::Cbor));
}

#[tokio::test]
async fn a_hook_that_hangs_ends_in_503() {
    let mut identity = Identity::new(cookies(), NewVisitors::Anonymous)
        .with_user_id(|_: Parts| std::future::pending::<Result<Option<Uid>, Refused>>());
    assert_eq!(identity.hook_timeout.as_secs(), 5);
    identity.hook_timeout = std::time::Duration::from_millis(20);
    let refused = identity.identify(&parts(None)).await.unwrap_err();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.into_response().headers()[header::RETRY_AFTER], "1");
}

#[test]
fn f44b_the_cookie_is_secure_when_the_page_is_https_and_nobody_can_pretend() {
    let settings = CookieSettings {
        trusted_proxies: vec!["127.0.0.9".parse().unwrap()],
        ..CookieSettings::default()
    };
    let cookies = SessionCookies::new(settings, CookieKey::from_secret(SECRET).unwrap());
    let from = |peer: &str, proto: Option<&str>, uri: &str| {
        let mut request = Request::builder().uri(uri);
        if let Some(proto) = proto {
            request = request.header("x-forwarded-proto", proto);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        let peer: std::net::SocketAddr = peer.parse().unwrap();
        parts.extensions.insert(axum::extract::ConnectInfo(peer));
        parts
    };
    assert!(cookies.is_https(&from("127.0.0.9:1", Some("https"), "/")));
    assert!(cookies.is_https(&from("[::ffff:127.0.0.9]:1", Some("HTTPS"), "/")));
    assert!(cookies.is_https(&from("10.0.0.1:1", None, "https://site.example/")));
    assert!(!cookies.is_https(&from("127.0.0.9:1", Some("http"), "/")));
    assert!(!cookies.is_https(&from("127.0.0.9:1", None, "/")));
    assert!(
        !cookies.is_https(&from("10.0.0.1:1", Some("https"), "/")),
        "a spoofed header"
    );
}

#[test]
fn log_in_and_out_write_the_cookie_through_the_jar() {
    let cookies = cookies();
    let jar = Cookies::default();
    let session = cookies.log_in(&jar, &parts(None), &uid("alice")).unwrap();
    let written = jar.get("tengen").unwrap();
    assert_eq!(written.http_only(), Some(true));
    assert_eq!(written.path(), Some("/"));
    assert!(!written.value().contains("alice"), "it is encrypted");
    assert_eq!(session.uid(), Some(uid("alice")));
    let read = cookies.session(&parts(Some(&written.encoded().to_string())).headers);
    assert_eq!(read, Some(session));
    cookies.log_out(&jar);
    assert!(jar.get("tengen").is_none());
}

#[test]
fn entries_of_the_app_travel_in_the_cookie_and_ours_cannot_be_overwritten() {
    let cookies = cookies();
    let mut session = cookies.begin(&uid("alice"), unix_seconds());
    session.insert("tenant", "acme".into());
    session.insert("uid", "root".into());
    let jar = Cookies::default();
    cookies.store(&jar, &parts(None), &session).unwrap();
    let sent = jar.get("tengen").unwrap().encoded().to_string();
    let read = cookies.session(&parts(Some(&sent)).headers).unwrap();
    assert_eq!(read.entry("tenant").unwrap(), "acme");
    assert_eq!(read.uid(), Some(uid("alice")));
    session.insert("much", "x".repeat(5000).into());
    let refused = cookies.store(&jar, &parts(None), &session).unwrap_err();
    assert!(refused.to_string().contains("4096"), "{refused}");
}

#[test]
fn the_csrf_token_is_the_same_on_every_node_and_another_after_the_next_login() {
    let cookies = cookies();
    let login = cookies.begin(&uid("alice"), unix_seconds());
    let on_another_node = SessionMap::parse(&login.to_json(), unix_seconds()).unwrap();
    assert_eq!(login.csrf_token(), on_another_node.csrf_token());
    let next = cookies.begin(&uid("alice"), unix_seconds());
    assert_ne!(login.csrf_token(), next.csrf_token());
    assert!(!login.to_json().contains(&login.csrf_token().unwrap()));
}

#[test]
fn a_short_cookie_key_is_refused_and_equal_secrets_have_equal_fingerprints() {
    let refused = CookieKey::from_secret(b"short").unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the cookie key has 5 bytes; it needs at least 32"
    );
    let (a, b) = (
        CookieKey::from_secret(SECRET).unwrap(),
        CookieKey::from_secret(SECRET).unwrap(),
    );
    assert_eq!(a.fingerprint(), b.fingerprint());
    assert_ne!(a.fingerprint(), CookieKey::random().fingerprint());
    assert!(!format!("{a:?}").contains("secret"));
}
