//! What the node serves besides the channel socket: the browser client under `/tengen/`, the example page in demo mode.

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::Digest as _;

/// `(name, bytes)` of the packed browser client; empty in a build without it.
const WEB: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/web.rs"));

const PAGE: &[(&str, &[u8])] = &[
    ("index.html", include_bytes!("../page/index.html")),
    ("page.js", include_bytes!("../page/page.js")),
    ("page.css", include_bytes!("../page/page.css")),
];

/// `GET /tengen/{file}`: the browser client, so that a page needs no build step.
pub fn client_routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/tengen/{file}", get(client_file))
}

/// `GET /`, `/page.js`, `/page.css`: the example page.
pub fn page_routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route(
            "/",
            get(|headers: HeaderMap| async move { file(PAGE, "index.html", &headers) }),
        )
        .route(
            "/page.js",
            get(|headers: HeaderMap| async move { file(PAGE, "page.js", &headers) }),
        )
        .route(
            "/page.css",
            get(|headers: HeaderMap| async move { file(PAGE, "page.css", &headers) }),
        )
}

async fn client_file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    if WEB.is_empty() {
        let why = "this binary was built without the browser client: run `cargo xtask web`, then build it again\n";
        return (StatusCode::NOT_FOUND, why).into_response();
    }
    file(WEB, &name, &headers)
}

/// One file with its type and a strong validator: always asked for again, answered 304 while unchanged,
/// so that a page and its client are never of two versions for longer than one load.
fn file(files: &[(&'static str, &'static [u8])], name: &str, headers: &HeaderMap) -> Response {
    let Some((_, bytes)) = files.iter().find(|(known, _)| *known == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let kind = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("wasm") => "application/wasm",
        _ => "text/plain; charset=utf-8",
    };
    let digest = sha2::Sha256::digest(bytes);
    let tag: String = digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let tag = format!("\"{tag}\"");
    let unchanged = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = if unchanged {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Response::new(Body::from(*bytes))
    };
    let head = response.headers_mut();
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    head.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        head.insert(header::ETAG, tag);
    }
    response
}
