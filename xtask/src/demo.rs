//! `cargo xtask demo`: everything on one machine, with ready commands to push to the page.

mod commands;
mod front;
mod process;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::exec::run;
use crate::workspace::Workspace;
use crate::{tools, web};
use process::Process;

/// What the user asked for.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many nodes; more than one start a real nats-server and a round-robin front.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=26))]
    nodes: u8,
    /// The port of the page; 0 takes any free one. A default that is taken gives way to a free one.
    #[arg(long)]
    port: Option<u16>,
    /// Start what is already built.
    #[arg(long)]
    no_build: bool,
}

/// Set by Ctrl-C and by a polite kill.
static STOP: AtomicBool = AtomicBool::new(false);

/// Starts everything, prints how to use it, and ends everything when it is told to.
pub(crate) fn demo(workspace: &Workspace, options: &Options) -> Result<()> {
    if !options.no_build {
        web::build(workspace, false)?;
        run(Command::new("cargo")
            .args(["build", "--package", "tengen-node", "--bin", "tengen-node"])
            .current_dir(&workspace.root))?;
    }
    stop_on_signals();
    let logs = workspace
        .target
        .join("demo")
        .join(std::process::id().to_string());
    std::fs::create_dir_all(&logs)?;
    if options.nodes == 1 {
        single(workspace, options, &logs)
    } else {
        cluster(workspace, options, &logs)
    }
}

/// One node with the embedded bus: nothing else is needed.
fn single(workspace: &Workspace, options: &Options, logs: &Path) -> Result<()> {
    let page = listener(options.port)?.local_addr()?;
    let node = Process::node(&workspace.target, logs, "a", page, &[])?;
    println!("\nTengen is running: one node, embedded bus.\n");
    println!("  open  http://{}/", node.public());
    println!(
        "  node  a  admin http://{}  pid {}",
        node.admin(),
        node.id()
    );
    commands::print_curl(node.admin());
    println!("Logs are in {}. Ctrl-C ends everything.", logs.display());
    wait(vec![node], 1)
}

/// Several nodes over a real nats-server, behind one port.
fn cluster(workspace: &Workspace, options: &Options, logs: &Path) -> Result<()> {
    let server = tools::nats_server(workspace)?;
    let python = tools::python_with_nats(workspace);
    let nats = Process::nats(&server, logs)?;
    // One key, so that a cookie of one node is understood by all.
    let settings = [
        ("TENGEN_NATS_URL", nats.url().to_owned()),
        ("TENGEN_COOKIE_KEY", process::random_key()?),
    ];
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let nats_url = nats.url().to_owned();
    let mut running = vec![nats];
    for letter in (b'a'..).take(usize::from(options.nodes)) {
        let name = char::from(letter).to_string();
        running.push(Process::node(
            &workspace.target,
            logs,
            &name,
            free,
            &settings,
        )?);
    }
    let listener = listener(options.port)?;
    let page = listener.local_addr()?;
    front::serve(
        listener,
        running.iter().skip(1).map(Process::public).collect(),
    );

    println!(
        "\nTengen is running: {} nodes over NATS, behind one front.\n",
        options.nodes
    );
    println!("  open  http://{page}/");
    for node in &running[1..] {
        println!(
            "  node  {}  http://{}  admin http://{}  pid {}",
            node.name(),
            node.public(),
            node.admin(),
            node.id()
        );
    }
    commands::print_curl(running[1].admin());
    commands::print_nats(&nats_url);
    match python {
        Ok(python) => commands::print_python(&nats_url, &python.display().to_string()),
        Err(error) => {
            eprintln!("no Python with nats-py could be made ({error}); with one of your own:");
            commands::print_python(&nats_url, "python3");
        }
    }
    println!("Logs are in {}. Ctrl-C ends everything.", logs.display());
    wait(running, 2)
}

/// Waits until told to stop, or until fewer than `needed` processes are left.
///
/// The death of one node of several is a thing to try out, not an end.
fn wait(mut running: Vec<Process>, needed: usize) -> Result<()> {
    while !STOP.load(Ordering::Relaxed) {
        let before = running.len();
        running.retain_mut(|process| match process.ended() {
            Some(how) => {
                println!("{} ended: {how}", process.name());
                false
            }
            None => true,
        });
        if running.len() < before && running.len() < needed {
            bail!("nothing left to show");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("\nending");
    Ok(())
}

/// The port asked for; the usual one unless it is taken.
fn listener(port: Option<u16>) -> Result<TcpListener> {
    match port {
        Some(port) => TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("port {port} is not free")),
        None => TcpListener::bind((Ipv4Addr::LOCALHOST, 8080))
            .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .context("no free port"),
    }
}

fn stop_on_signals() {
    extern "C" fn stop(_signal: libc::c_int) {
        STOP.store(true, Ordering::Relaxed);
    }
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let handler: extern "C" fn(libc::c_int) = stop;
        // SAFETY: the handler only stores to an atomic, which is allowed in a signal handler.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}
