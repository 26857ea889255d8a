//! The README's own programs, from an empty folder: the server, a plain page, a bundler project.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use tempfile::TempDir;

use crate::demo::root;
use crate::page::Browser;

/// What the README's server listens on; replaced by a free port.
const ADDRESS: &str = "127.0.0.1:8080";

/// A program of the README, running; ended by its id when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c6_the_readmes_server_page_and_bundler_project_work_as_written() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let _server = server(&readme, folder.path(), address);
    let browser = Browser::start().await;

    let page = snippet(&readme, "page/index.html");
    // Written into a page that came from the server, so that `/tengen/` and `/chsk` are its own.
    browser
        .visit(&format!("http://{address}/tengen/tengen.js"))
        .await;
    browser.write(&page).await;
    browser
        .shows("document.getElementById('out')?.textContent === 'hello'")
        .await;

    let site = bundle(&readme, &folder, address);
    let site = serve(site).await;
    browser.visit(&format!("http://{site}/index.html")).await;
    browser.shows("document.title === 'bundled'").await;
    browser.close().await;
}

/// The fenced block behind the mark `<!-- run: name -->`.
fn snippet(readme: &str, name: &str) -> String {
    let (_, after) = readme
        .split_once(&format!("<!-- run: {name} -->\n"))
        .unwrap_or_else(|| panic!("the README has no {name}"));
    let (_, block) = after.split_once('\n').unwrap();
    let (text, _) = block.split_once("\n```").unwrap();
    text.to_owned()
}

/// Builds and starts the README's crate beside a checkout of Tengen, as its path dependency says.
fn server(readme: &str, folder: &Path, address: SocketAddr) -> Running {
    let hello = folder.join("hello");
    std::fs::create_dir_all(hello.join("src")).unwrap();
    std::os::unix::fs::symlink(root().canonicalize().unwrap(), folder.join("tengen")).unwrap();
    std::fs::write(
        hello.join("Cargo.toml"),
        snippet(readme, "hello/Cargo.toml"),
    )
    .unwrap();
    // The versions that everything else was tested with.
    std::fs::copy(root().join("Cargo.lock"), hello.join("Cargo.lock")).unwrap();
    let program = snippet(readme, "hello/src/main.rs");
    assert!(
        program.contains(ADDRESS),
        "the README's server listens elsewhere"
    );
    let program = program.replace(ADDRESS, &address.to_string());
    std::fs::write(hello.join("src/main.rs"), program).unwrap();

    let target = root().canonicalize().unwrap().join("target");
    let built = Command::new(env!("CARGO"))
        .arg("build")
        .current_dir(&hello)
        .env("CARGO_TARGET_DIR", &target)
        // As the workspace builds, so that its compiled dependencies serve here too.
        .env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only")
        .env("CARGO_PROFILE_DEV_BUILD_OVERRIDE_DEBUG", "false")
        .status()
        .unwrap();
    assert!(built.success(), "the README's server does not build");
    let child = Command::new(target.join("debug/hello"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let running = Running(child);
    let deadline = Instant::now() + Duration::from_secs(30);
    while std::net::TcpStream::connect(address).is_err() {
        assert!(
            Instant::now() < deadline,
            "the README's server does not listen"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    running
}

/// Packs the npm package, installs it in a project with the README's program, and bundles that.
fn bundle(readme: &str, folder: &TempDir, address: SocketAddr) -> std::path::PathBuf {
    let project = folder.path().join("bundler");
    let site = project.join("site");
    std::fs::create_dir_all(&site).unwrap();
    let program = snippet(readme, "bundler/main.js").replace(ADDRESS, &address.to_string());
    std::fs::write(project.join("main.js"), program).unwrap();
    std::fs::write(
        project.join("package.json"),
        r#"{"private": true, "type": "module"}"#,
    )
    .unwrap();
    let package = root().join("client-wasm/pkg").canonicalize().unwrap();
    run(Command::new("npm")
        .args(["pack", "--silent", "--pack-destination"])
        .arg(&project)
        .current_dir(package));
    let packed = std::fs::read_dir(&project)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let packed = packed
        .filter(|path| path.extension().is_some_and(|extension| extension == "tgz"))
        .last()
        .unwrap();
    run(Command::new("npm")
        .args(["install", "--silent", "--offline", "--no-audit"])
        .arg(packed)
        .current_dir(&project));
    let esbuild = std::env::var("TENGEN_ESBUILD").unwrap_or_else(|_| "esbuild".to_owned());
    run(Command::new(esbuild)
        .args([
            "main.js",
            "--bundle",
            "--format=esm",
            "--outfile=site/main.js",
            "--log-level=error",
        ])
        .current_dir(&project));
    // esbuild leaves the core where it is, as the package's own readme says.
    std::fs::copy(
        project.join("node_modules/tengen/core_bg.wasm"),
        site.join("core_bg.wasm"),
    )
    .unwrap();
    std::fs::write(
        site.join("index.html"),
        r#"<!doctype html><script type="module" src="main.js"></script>"#,
    )
    .unwrap();
    site
}

/// Serves a folder of static files, as any web server would.
async fn serve(site: std::path::PathBuf) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let files = Router::new().fallback(file).with_state(site);
    tokio::spawn(async move { axum::serve(listener, files).await });
    address
}

async fn file(State(site): State<std::path::PathBuf>, uri: Uri) -> impl IntoResponse {
    let path = site.join(uri.path().trim_start_matches('/'));
    let kind = match path.extension().and_then(|extension| extension.to_str()) {
        Some("js") => "text/javascript",
        Some("wasm") => "application/wasm",
        _ => "text/html",
    };
    (
        [(CONTENT_TYPE, kind)],
        std::fs::read(path).unwrap_or_default(),
    )
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

fn free_address() -> SocketAddr {
    ([127, 0, 0, 1], tengen_bus::testing::port_to_keep()).into()
}
