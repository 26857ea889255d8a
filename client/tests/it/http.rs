//! Requests beside the channel socket, and TLS under both.

use std::{future::IntoFuture as _, sync::Arc, time::Duration};

use tengen_client::{Client, HttpError, TransportChoice};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use crate::{http_server::HttpServer, server::soon};

/// A client that never connects by itself.
fn idle(server: &HttpServer) -> Client {
    let builder = server.client().header("x-token", "t1").cookie("a", "1");
    builder.idle().expect("the settings are right")
}

#[tokio::test]
async fn f87_a_request_carries_headers_cookies_and_params_and_keeps_the_cookies_of_its_answer() {
    let mut server = HttpServer::start().await;
    let client = idle(&server);
    let login = client
        .http("/login")
        .method("POST")
        .param("name", "Zoë & co")
        .header("x-once", "1");
    let (answer, ()) = tokio::join!(soon(login.into_future()), async {
        let asked = server.next().await;
        assert_eq!(
            (asked.method.as_str(), asked.path.as_str()),
            ("POST", "/login")
        );
        assert_eq!(asked.body, "name=Zo%C3%AB+%26+co");
        assert_eq!(
            asked.headers["content-type"],
            "application/x-www-form-urlencoded"
        );
        assert_eq!(asked.headers["cookie"], "a=1");
        assert_eq!(asked.headers["x-token"], "t1");
        assert_eq!(asked.headers["x-once"], "1");
        assert_eq!(asked.headers["host"], server.address.to_string());
        asked.answer(
            201,
            &[("Set-Cookie", "session=alice; Path=/; HttpOnly")],
            br#"{"ok":true}"#,
        );
    });
    let answer = answer.unwrap();
    assert_eq!(answer.status, 201);
    assert!(answer.is_success());
    assert_eq!(answer.json::<serde_json::Value>().unwrap()["ok"], true);
    assert!(matches!(answer.json::<u8>(), Err(HttpError::Content(_))));

    let fetch = client.http("files/one?x=0").param("y", "1");
    let (answer, ()) = tokio::join!(soon(fetch.into_future()), async {
        let asked = server.next().await;
        assert_eq!(
            (asked.method.as_str(), asked.path.as_str()),
            ("GET", "/files/one")
        );
        assert_eq!((&*asked.query["x"], &*asked.query["y"]), ("0", "1"));
        assert_eq!(asked.headers["cookie"], "a=1; session=alice");
        assert!(
            !asked.headers.contains_key("x-once"),
            "that was for one request"
        );
        asked.answer(404, &[], b"not here");
    });
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (404, "not here"));
    assert!(!answer.is_success());
}

#[tokio::test]
async fn f87_cookies_of_a_login_go_with_the_next_upgrade() {
    let mut server = HttpServer::start().await;
    let client = server
        .client()
        .transport(TransportChoice::Ws)
        .idle()
        .unwrap();
    let login = client.http("/login").method("POST");
    let (answer, ()) = tokio::join!(soon(login.into_future()), async {
        let asked = server.next().await;
        asked.answer(204, &[("Set-Cookie", "session=alice; Path=/")], b"");
    });
    answer.unwrap();
    client.connect().await.unwrap();
    let asked = server.next().await;
    assert!(asked.is_upgrade());
    assert_eq!(asked.headers["cookie"], "session=alice");
    // What a refusal sets is kept as well.
    asked.answer(503, &[("Set-Cookie", "session=bob; Path=/")], b"");
    let asked = server.next().await;
    assert_eq!(asked.headers["cookie"], "session=bob");
}

#[tokio::test]
async fn f87_a_request_fails_by_what_can_be_done_about_it() {
    let mut server = HttpServer::start().await;
    let client = idle(&server);
    for path in [
        "http://example.com/x",
        "//example.com/x",
        "https://127.0.0.1/x",
    ] {
        let error = client.http(path).await.unwrap_err();
        assert!(matches!(error, HttpError::Request(_)), "{path}: {error}");
    }
    let error = client.http("/x").header("a b", "secret").await.unwrap_err();
    assert!(!error.to_string().contains("secret"));
    assert!(client.http("/x").method("NO WAY").await.is_err());

    let slow = client.http("/slow").timeout(Duration::from_millis(100));
    let (answer, asked) = tokio::join!(soon(slow.into_future()), server.next());
    assert_eq!(answer.unwrap_err(), HttpError::Timeout);
    soon(asked.gone).await.expect("the connection is closed");

    for cut in [true, false] {
        let (answer, ()) = tokio::join!(soon(client.http("/cut").into_future()), async {
            let asked = server.next().await;
            if cut {
                asked.cut(200, &[], b"half");
            } else {
                asked.lose();
            }
        });
        let error = answer.unwrap_err();
        assert!(matches!(error, HttpError::Transport(_)), "{error}");
    }
}

/// A server with a certificate of `127.0.0.1`, and the certificate.
async fn secure() -> (HttpServer, Vec<u8>) {
    let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
    let signed = signed.expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der());
    let certificate = signed.cert.der().clone();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("it is a good setting")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], PrivateKeyDer::Pkcs8(key))
        .expect("it is a good setting");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = HttpServer::with(Arc::new(move |stream| {
        let acceptor = acceptor.clone();
        Box::pin(async move {
            let stream = acceptor.accept(stream).await.ok()?;
            Some(Box::new(stream) as _)
        })
    }))
    .await;
    (server, certificate.to_vec())
}

#[tokio::test]
async fn f96_both_transports_speak_tls_to_a_server_whose_certificate_is_trusted() {
    for transport in [TransportChoice::Ws, TransportChoice::Poll] {
        let (mut server, certificate) = secure().await;
        let url = format!("wss://{}/chsk", server.address);
        let client = Client::builder(url)
            .root_certificate(certificate)
            .transport(transport)
            .spawn()
            .unwrap();
        let asked = server.next().await;
        assert_eq!(asked.is_upgrade(), transport == TransportChoice::Ws);
        assert_eq!(asked.path, "/chsk");
        asked.answer(503, &[], b"");
        let fetch = client.http("/file");
        let (answer, ()) = tokio::join!(soon(fetch.into_future()), async {
            loop {
                let asked = server.next().await;
                if asked.path == "/file" {
                    break asked.answer(200, &[], b"contents");
                }
            }
        });
        assert_eq!(answer.unwrap().text(), "contents");
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_no_server_of_ours() {
    let (server, _) = secure().await;
    let (_, another) = secure().await;
    let url = format!("https://{}/chsk", server.address);
    let client = Client::builder(url)
        .root_certificate(another)
        .idle()
        .unwrap();
    let error = soon(client.http("/").into_future()).await.unwrap_err();
    let HttpError::Transport(text) = error else {
        panic!("{error}")
    };
    assert!(text.contains("certificate"), "{text}");
}
