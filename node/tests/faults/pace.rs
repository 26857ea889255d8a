//! How much time the tests take: shortened as in every run, or with everything at its default as in `cargo xtask chaos`.

use std::time::Duration;

use tengen_client::{Builder, Client, Options};

/// The times of one run.
pub(crate) struct Pace {
    full: bool,
    /// How long connections are treated badly.
    pub trouble: Duration,
    /// How long nothing happens (F24).
    pub idle: Duration,
    /// How long the server is away (F29).
    pub outage: Duration,
    /// How long a client that was told to stay away is watched (F31).
    pub away: Duration,
    /// The server's pings.
    pub ping: Duration,
    /// How long a poll is held.
    pub poll: Duration,
    /// How long a client waits at most before it tries again.
    pub backoff_cap: Duration,
    /// What a client adds to `ping` before silence is the end.
    pub grace: Duration,
    /// Clients of a test of presence.
    pub crowd: usize,
    /// Over how many processes they are spread.
    pub crowds: usize,
}

impl Pace {
    /// The pace of this run: `cargo xtask chaos` sets `TENGEN_CHAOS` to its minutes of trouble.
    pub(crate) fn of_this_run() -> Pace {
        let minutes = std::env::var("TENGEN_CHAOS").ok();
        let minutes = minutes.map(|text| text.parse::<u64>().expect("TENGEN_CHAOS is minutes"));
        let seconds = Duration::from_secs;
        match minutes {
            Some(minutes) => {
                let options = Options::default();
                Pace {
                    full: true,
                    trouble: seconds(60 * minutes),
                    idle: seconds(600),
                    outage: seconds(30),
                    away: seconds(60),
                    ping: seconds(15),
                    poll: seconds(20),
                    backoff_cap: Duration::from_millis(options.backoff_cap_ms),
                    grace: Duration::from_millis(options.grace_ms),
                    crowd: 20_000,
                    crowds: 4,
                }
            }
            None => Pace {
                full: false,
                trouble: seconds(12),
                idle: seconds(6),
                outage: seconds(3),
                away: seconds(4),
                ping: seconds(1),
                poll: seconds(2),
                backoff_cap: seconds(1),
                grace: seconds(2),
                crowd: 2_000,
                crowds: 1,
            },
        }
    }

    /// Whether everything is at its default.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// The settings of a node.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        if self.full {
            return Vec::new();
        }
        vec![
            ("TENGEN_PING", format!("{}s", self.ping.as_secs())),
            ("TENGEN_POLL_TIMEOUT", format!("{}s", self.poll.as_secs())),
        ]
    }

    /// A client as patient as its node.
    pub(crate) fn client(&self, url: &str) -> Builder {
        let builder = Client::builder(url);
        if self.full {
            return builder;
        }
        builder.options(|options| {
            options.grace_ms = 2_000;
            options.backoff_cap_ms = 1_000;
            options.spread_ms = 500;
            options.connect_timeout_ms = 3_000;
            options.hello_timeout_ms = 3_000;
        })
    }
}
