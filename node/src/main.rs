//! The binary `tengen-node`: settings in, a node out, and an orderly end.

// The demo is the program that users copy, so that it is never another than what they see.
#[path = "../examples/reference.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "an example is a program of its own, read by people"
)]
mod reference;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use tengen_node::config::{self, Config, ConfigError, KEYS};
use tengen_node::{LogLevel, Node, Telemetry, assets};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// EX_USAGE of sysexits.h: the command line, environment or file is wrong.
const USAGE: u8 = 64;

/// EX_CONFIG of sysexits.h: another node of the cluster has this one's id. Whoever restarts us should
/// not do it at once.
const DUPLICATE: u8 = 78;

/// How long clients get to be closed in order before the process ends anyway.
const FAREWELL: Duration = Duration::from_secs(10);

fn command() -> Command {
    let mut run = Command::new("tengen-node")
        .version(env!("CARGO_PKG_VERSION"))
        .about("An edge node of a Tengen cluster")
        .after_help("Settings also come from TENGEN_* variables and from the TOML file given by --config or TENGEN_CONFIG; flags win.")
        .arg(Arg::new("config").long("config").value_name("FILE").help("TOML file with the same keys").global(true))
        .subcommand(
            Command::new("config")
                .about("Look at the settings without starting")
                .subcommand_required(true)
                .subcommand(Command::new("check").about("Exit 0 if a node would start with them, 64 and say why if not"))
                .subcommand(Command::new("print").about("Print every setting as TOML, secrets left out"))
                .subcommand(Command::new("schema").about("Print the JSON Schema of the TOML file")),
        );
    for key in KEYS {
        let mut help = key.doc.trim().replace('\n', " ");
        if !key.range.is_empty() {
            help += &format!(" ({})", key.range);
        }
        help += &format!(" [env: {}]", key.variable());
        if !key.default.is_empty() {
            help += &format!(" [default: {}]", key.default);
        }
        let mut arg = Arg::new(key.name).long(key.flag()).help(help).global(true);
        arg = if key.kind == "true|false" {
            arg.num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_parser(BoolishValueParser::new())
        } else {
            arg.value_name(key.kind).action(ArgAction::Set)
        };
        run = run.arg(arg);
    }
    run
}

fn load(matches: &ArgMatches) -> Result<(Config, config::Sources), ConfigError> {
    let mut sources = config::Sources::default();
    let file = matches
        .get_one::<String>("config")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("TENGEN_CONFIG").map(PathBuf::from));
    if let Some(file) = file {
        sources.add_file(&file)?;
    }
    sources.add_environment(std::env::vars())?;
    sources.add_flags(KEYS.iter().filter_map(|key| {
        let text = if key.kind == "true|false" {
            matches.get_one::<bool>(key.name).map(bool::to_string)
        } else {
            matches.get_one::<String>(key.name).cloned()
        };
        text.map(|text| (key.name.to_owned(), text))
    }))?;
    Ok((Config::load(&sources)?, sources))
}

fn main() -> ExitCode {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { 0 };
            // Nothing to do about a closed stdout here.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    // The deepest subcommand holds the global arguments that stand after it.
    let mut deepest = &matches;
    while let Some((_, deeper)) = deepest.subcommand() {
        deepest = deeper;
    }
    let (config, sources) = match load(deepest) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("tengen-node: {error}");
            return ExitCode::from(USAGE);
        }
    };
    match matches
        .subcommand()
        .and_then(|(_, config)| config.subcommand_name())
    {
        Some("check") => return ExitCode::SUCCESS,
        Some("print") => {
            print_settings(&config);
            return ExitCode::SUCCESS;
        }
        Some("schema") => {
            println!("{:#}", config::schema());
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let telemetry = match Telemetry::install(&config) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("tengen-node: log: {error:#}");
            return ExitCode::from(USAGE);
        }
    };
    for variable in &sources.unknown_variables {
        tracing::warn!(variable, "no setting of this name");
    }
    let outcome = run(config, telemetry.log_level());
    telemetry.shutdown();
    match outcome {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(why)) => {
            eprintln!("tengen-node: node_id: {why}");
            ExitCode::from(DUPLICATE)
        }
        Err(error) => {
            eprintln!("tengen-node: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn print_settings(config: &Config) {
    for (key, text) in config.lines() {
        if text.is_empty() || key.secret {
            println!("# {} = {text}", key.name);
        } else if key.kind == "true|false" {
            println!("{} = {text}", key.name);
        } else {
            println!("{} = {text:?}", key.name);
        }
    }
}

/// Runs until it is told to stop, or cannot go on: then it says why.
fn run(config: Config, log: LogLevel) -> anyhow::Result<Option<&'static str>> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(serve(config, log))
}

async fn serve(config: Config, log: LogLevel) -> anyhow::Result<Option<&'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let listener = bind("listen", config.listen).await?;
    let admin = bind("admin_listen", config.admin_listen).await?;
    let (address, admin_address) = (listener.local_addr()?, admin.local_addr()?);
    let demo = config.demo;
    let builder = Node::builder().config(config);
    let builder = if demo {
        reference::handlers(builder, log)
    } else {
        builder
    };
    let node = builder.build().await?;
    let around = if demo {
        reference::pages(&node)
    } else {
        assets::client_routes()
    };
    let app = node.router().merge(around);
    tracing::info!(node = %node.id(), %address, %admin_address, bus = node.bus_name(), "listening");
    // For whoever started us with port 0: the one line on standard output.
    println!("listening public={address} admin={admin_address}");
    let public = tokio::spawn(node.serve(listener, app));
    let admin = tokio::spawn(node.serve_admin(admin));

    let failed = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        why = node.failed() => Some(why),
    };
    tracing::info!(node = %node.id(), "stopping");
    tokio::select! {
        () = node.shutdown() => {}
        () = tokio::time::sleep(FAREWELL) => tracing::warn!("some connections did not end in time"),
        _ = terminate.recv() => tracing::warn!("stopped at once"),
        _ = interrupt.recv() => tracing::warn!("stopped at once"),
    }
    public.abort();
    admin.abort();
    Ok(failed)
}

async fn bind(key: &str, address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{key} = {address}"))
}
