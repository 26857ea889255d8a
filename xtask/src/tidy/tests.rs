//! The rules find what they are for, and the project keeps them.

use std::path::Path;

use super::{Source, files, layers, links, offences, packages, promises};
use crate::workspace::Workspace;

#[test]
fn c5_the_house_rules_hold_in_this_repository() {
    let workspace = Workspace::find().unwrap();
    assert_eq!(offences(&workspace).unwrap(), Vec::<String>::new());
}

#[test]
fn an_import_that_points_upward_is_found() {
    assert_eq!(
        layers::judge("tengen-bus", [("tengen-protocol", false)].into_iter()).len(),
        0
    );
    assert_eq!(
        layers::judge("tengen-bus", [("tengen-node", false)].into_iter()).len(),
        1
    );
    assert_eq!(
        layers::judge("tengen-loadtest", [("tengen-node", true)].into_iter()).len(),
        0
    );
    assert_eq!(
        layers::judge("tengen-loadtest", [("tengen-node", false)].into_iter()).len(),
        1
    );
    assert_eq!(layers::judge("tengen-newcomer", [].into_iter()).len(), 1);
}

#[test]
fn a_package_counts_as_used_only_where_code_names_it() {
    assert!(packages::uses("use tokio::net::TcpStream;", "tokio"));
    assert!(packages::uses(
        "    tower_cookies::Key::from(b)",
        "tower-cookies"
    ));
    assert!(!packages::uses("// tokio::spawn would do", "tokio"));
    assert!(!packages::uses("my_tokio::spawn()", "tokio"));
}

#[test]
fn a_file_that_breaks_a_rule_is_named() {
    let machine = [String::from("/elsewhere/someone/")];
    let judge = |path: &str, text: &str| files::judge(path, text, &machine).len();
    assert_eq!(judge("node/src/hub.rs", "//! Holds the hub.\n"), 0);
    assert_eq!(judge("node/src/hub.rs", "use x;\n"), 1);
    assert_eq!(judge("node/src/hub.rs", "//!\n"), 1);
    assert_eq!(judge("node/src/hub/mod.rs", "//! Holds the hub.\n"), 1);
    assert_eq!(
        judge(
            "node/src/hub.rs",
            &format!("//! Long.\n{}", "x\n".repeat(400))
        ),
        1
    );
    assert_eq!(judge("README.md", "see /elsewhere/someone/notes"), 1);
    assert_eq!(
        judge(
            "protocol/src/clock.rs",
            "//! Bad.\nlet now = Instant::now();\n"
        ),
        1
    );
    assert_eq!(
        judge(
            "protocol/src/clock.rs",
            "//! Fine.\n// never Instant::now()\n"
        ),
        0
    );
}

#[test]
fn the_names_of_tests_are_found_in_a_table_of_promises() {
    let table =
        "| `node` | `a_push_that_is_promised_to_arrive` | `tengen_hub_sessions_slow_total` |";
    let names: Vec<_> = promises::names(table).collect();
    assert_eq!(names, ["a_push_that_is_promised_to_arrive"]);
}

#[test]
fn a_link_to_a_file_or_a_heading_that_is_not_there_is_found() {
    let page = |path: &str, text: &str| Source {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let sources = [
        page("protocol/README.md", "## For services: subjects\n"),
        page(
            "node/SERVICES.md",
            "[a](../protocol/README.md#for-services-subjects) [b](#here), [c](https://elsewhere/#x)\n\
             # Here\n[d](../protocol/README.md#batches) [e](missing.py) [f](#there)\n",
        ),
    ];
    let nowhere = Path::new("/nowhere");
    let found = links::check(&sources, nowhere);
    let dead = ["../protocol/README.md#batches", "missing.py", "#there"];
    let dead = dead.map(|link| format!("node/SERVICES.md: the link to {link} leads nowhere"));
    assert_eq!(found, dead);
}
