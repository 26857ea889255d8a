//! `cargo xtask test`: every check of the project, one report.

mod count;
mod stages;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use count::Count;

/// What became of one stage.
enum Verdict {
    Passed,
    Failed(anyhow::Error),
    /// Not run, and why; never with `CI` set.
    Skipped(String),
}

struct Report {
    name: &'static str,
    verdict: Verdict,
    took: Duration,
}

/// The stages run so far.
struct Suite<'a> {
    workspace: &'a Workspace,
    /// Run only the stages whose name contains one of these; all when empty.
    only: &'a [String],
    count: Count,
    reports: Vec<Report>,
}

/// Runs every stage, also after one has failed, so that one run tells everything.
/// The sum is the last line. Fails when a stage failed, or was skipped although `CI` is set.
pub(crate) fn run(workspace: &Workspace, only: &[String]) -> ExitCode {
    let mut suite = Suite {
        workspace,
        only,
        count: Count::default(),
        reports: Vec::new(),
    };
    stages::all(&mut suite);
    suite.conclude()
}

impl Suite<'_> {
    /// Runs one stage; it counts its tests itself, else it counts as one.
    fn stage(
        &mut self,
        name: &'static str,
        body: impl FnOnce(&Workspace, &mut Count) -> Result<()>,
    ) {
        if !self.only.is_empty()
            && !self
                .only
                .iter()
                .any(|wanted| name.contains(wanted.as_str()))
        {
            return;
        }
        println!("\n=== {name}");
        let began = Instant::now();
        let mut count = Count::default();
        let outcome = body(self.workspace, &mut count);
        let took = began.elapsed();
        if let Err(error) = &outcome {
            println!("{name}: {error:#}");
            // A stage that broke before or beside its tests is a failure that they did not count.
            count.failed = count.failed.max(1);
        } else if count.is_empty() {
            count.passed = 1;
        }
        self.count.add(&count);
        let verdict = outcome.map_or_else(Verdict::Failed, |()| Verdict::Passed);
        self.reports.push(Report {
            name,
            verdict,
            took,
        });
    }

    /// Leaves a stage out because of something this machine lacks; with `CI` set that is a failure.
    fn skip(&mut self, name: &'static str, reason: &anyhow::Error) {
        if self.workspace.ci {
            let reason = format!("{reason:#}");
            self.stage(name, |_, _| {
                bail!("cannot run, and nothing may be skipped here: {reason}")
            });
        } else {
            println!("\n=== {name}\nskipped: {reason:#}");
            let verdict = Verdict::Skipped(format!("{reason:#}"));
            self.reports.push(Report {
                name,
                verdict,
                took: Duration::ZERO,
            });
        }
    }

    fn conclude(self) -> ExitCode {
        println!("\n=== what ran");
        for report in &self.reports {
            let verdict = match &report.verdict {
                Verdict::Passed => "passed".to_owned(),
                Verdict::Failed(error) => format!("FAILED: {}", first_line(&format!("{error:#}"))),
                Verdict::Skipped(reason) => format!("skipped: {}", first_line(reason)),
            };
            println!(
                "{:>7.1} s  {:24} {verdict}",
                report.took.as_secs_f64(),
                report.name
            );
        }
        println!(
            "\n{} passed, {} failed",
            self.count.passed, self.count.failed
        );
        if self.count.failed > 0 {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
