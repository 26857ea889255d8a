//! Embeds the packed browser client, when it has been built, so that one binary serves it.

use std::path::Path;
use std::{env, fs};

fn main() {
    let package = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("set by cargo"))
        .join("../client-wasm/pkg");
    let out = Path::new(&env::var("OUT_DIR").expect("set by cargo")).join("web.rs");
    println!("cargo:rerun-if-changed={}", package.display());

    let mut files: Vec<_> = fs::read_dir(&package)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "js" || extension == "wasm")
                || path.to_string_lossy().ends_with(".d.ts")
        })
        .collect();
    files.sort();

    let rows: String = files
        .iter()
        .map(|path| {
            println!("cargo:rerun-if-changed={}", path.display());
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .expect("the packer writes UTF-8 names");
            let path = path.canonicalize().expect("it was just listed");
            format!("    ({name:?}, include_bytes!({path:?})),\n")
        })
        .collect();
    fs::write(out, format!("&[\n{rows}]\n")).expect("OUT_DIR can be written");
}
