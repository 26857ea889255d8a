//! The commands that the demo prints, ready to be pasted: a test runs them as they stand.

use std::net::SocketAddr;

/// To everybody, by the HTTP API of one node.
pub(super) fn print_curl(admin: SocketAddr) {
    println!("\nPush to everyone over HTTP:\n");
    println!(
        "  curl -sS http://{admin}/v1/send-to-all -d '[\"example/note\", {{\"text\": \"hello from curl\"}}]'\n"
    );
}

/// To one user, by the command of NATS.
pub(super) fn print_nats(url: &str) {
    println!("Push to every tab of alice over NATS (log in as alice first):\n");
    println!(
        "  nats -s {url} pub tengen.send-to.uid.alice '[\"example/note\", {{\"text\": \"hello from nats\"}}]'\n"
    );
}

/// To one user, from Python.
pub(super) fn print_python(url: &str, python: &str) {
    println!("The same from Python:\n");
    println!("  {python} -c '");
    println!("import asyncio, nats");
    println!("async def main():");
    println!("    bus = await nats.connect(\"{url}\")");
    println!(
        "    await bus.publish(\"tengen.send-to.uid.alice\", b\"\"\"[\"example/note\", {{\"text\": \"hello from python\"}}]\"\"\")"
    );
    println!("    await bus.drain()");
    println!("asyncio.run(main())'\n");
}
